//! What Git says: revisions, and the manifests of a plain-directory source at one of them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use globset::GlobBuilder;
use serde_json::Value;

use crate::manifests;
use crate::remote::Mirror;

/// A manifest larger than this is an error of the source, as is a folder of more files than [`MAX_FILES`].
const MAX_BYTES: usize = 8 << 20;
const MAX_FILES: usize = 2_000;

/// One source of an Application, as far as the lab renders it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    pub url: String,
    pub path: String,
    pub target_revision: String,
    pub recurse: bool,
    pub include: String,
    pub exclude: String,
}

impl Source {
    /// Reads `spec.source`; the error says what the lab cannot render, by name.
    pub fn read(source: &Value) -> anyhow::Result<Source> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for (key, tool) in [
            ("chart", "Helm"),
            ("helm", "Helm"),
            ("kustomize", "Kustomize"),
            ("plugin", "a plugin"),
        ] {
            let value = &source[key];
            if !value.is_null()
                && value != ""
                && value.as_object().is_none_or(|map| !map.is_empty())
            {
                bail!(
                    "this controller renders plain directories only: `source.{key}` asks for {tool}"
                );
            }
        }
        let url = text(&source["repoURL"]);
        if url.is_empty() {
            bail!("spec.source.repoURL is required");
        }
        let directory = &source["directory"];
        Ok(Source {
            url,
            path: text(&source["path"]),
            target_revision: text(&source["targetRevision"]),
            recurse: directory["recurse"] == true,
            include: text(&directory["include"]),
            exclude: text(&directory["exclude"]),
        })
    }
}

/// The mirrors of all repositories in use, and the renderings made from them.
pub struct Sources {
    directory: PathBuf,
    mirrors: HashMap<String, Mirror>,
    rendered: HashMap<(Source, String), Arc<Vec<Value>>>,
}

impl Sources {
    /// Keeps its mirrors below `directory`.
    pub fn new(directory: &Path) -> Sources {
        Sources {
            directory: directory.to_owned(),
            mirrors: HashMap::new(),
            rendered: HashMap::new(),
        }
    }

    async fn mirror(&mut self, url: &str) -> anyhow::Result<&mut Mirror> {
        if !self.mirrors.contains_key(url) {
            let path = self
                .directory
                .join(format!("mirror-{}", self.mirrors.len()));
            let mut mirror = Mirror::new(&path, url).await?;
            mirror
                .look()
                .await
                .with_context(|| format!("failed to list refs of {url}"))?;
            self.mirrors.insert(url.to_owned(), mirror);
        }
        self.mirrors
            .get_mut(url)
            .context("the mirror was just made")
    }

    /// Asks the remotes that are in use for new commits; the URLs where a ref moved.
    pub async fn poll(&mut self) -> Vec<String> {
        let mut moved = Vec::new();
        for (url, mirror) in &mut self.mirrors {
            match mirror.look().await {
                Ok(true) => moved.push(url.clone()),
                Ok(false) => {}
                Err(error) => tracing::warn!("asking {url} for its refs: {error:#}"),
            }
        }
        moved
    }

    /// The commit that `revision` of the source's repository stands for; `fresh` asks the remote first.
    pub async fn resolve(
        &mut self,
        source: &Source,
        revision: &str,
        fresh: bool,
    ) -> anyhow::Result<String> {
        let mirror = self.mirror(&source.url).await?;
        if fresh {
            mirror
                .look()
                .await
                .with_context(|| format!("failed to list refs of {}", source.url))?;
        }
        mirror.resolve(revision).await
    }

    /// The objects of `source` at a commit, as they stand in the files.
    pub async fn render(
        &mut self,
        source: &Source,
        commit: &str,
    ) -> anyhow::Result<Arc<Vec<Value>>> {
        let key = (source.clone(), commit.to_owned());
        if let Some(found) = self.rendered.get(&key) {
            return Ok(found.clone());
        }
        let path = clean(&source.path)?;
        let mirror = self.mirror(&source.url).await?;
        let files = mirror.files(commit, &path).await?;
        if files.is_empty() {
            bail!("{path}: app path does not exist");
        }
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let chosen = choose(source, &prefix, &files)?;
        let (names, ids): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
        let blobs = mirror.blobs(&ids).await?;
        let mut objects = Vec::new();
        for (name, bytes) in names.into_iter().zip(blobs) {
            if bytes.len() > MAX_BYTES {
                bail!("Failed to unmarshal \"{name}\": larger than {MAX_BYTES} bytes");
            }
            let text = String::from_utf8(bytes)
                .with_context(|| format!("Failed to unmarshal \"{name}\""))?;
            let found = manifests::parse(&text)
                .map_err(|why| anyhow::anyhow!("Failed to unmarshal \"{name}\": {why}"))?;
            for object in found {
                if crate::cluster::Ref::of(&object).is_none() {
                    bail!(
                        "Failed to unmarshal \"{name}\": Object 'Kind', 'apiVersion' or 'metadata.name' is missing"
                    );
                }
                objects.push(object);
            }
        }
        let objects = Arc::new(objects);
        // Old commits are rarely asked for twice.
        if self.rendered.len() > 256 {
            self.rendered.clear();
        }
        self.rendered.insert(key, objects.clone());
        Ok(objects)
    }
}

/// A path inside the repository without leading, trailing or `.` parts; one that climbs is refused.
fn clean(path: &str) -> anyhow::Result<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => bail!("{path}: app path is outside root"),
            part if part.starts_with(':') => bail!("{path}: app path does not exist"),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

fn choose(
    source: &Source,
    prefix: &str,
    files: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<(String, String)>> {
    let glob = |pattern: &str| -> anyhow::Result<Option<globset::GlobMatcher>> {
        if pattern.is_empty() {
            return Ok(None);
        }
        // Two stars are one: neither knows of folders.
        let mut flat = pattern.to_owned();
        while flat.contains("**") {
            flat = flat.replace("**", "*");
        }
        let glob = GlobBuilder::new(&flat)
            .build()
            .with_context(|| format!("the pattern {pattern} of spec.source.directory"))?;
        Ok(Some(glob.compile_matcher()))
    };
    let (include, exclude) = (glob(&source.include)?, glob(&source.exclude)?);
    let mut chosen = Vec::new();
    for (name, blob) in files {
        let Some(inner) = name.strip_prefix(prefix) else {
            continue;
        };
        for (marker, tool) in [
            ("Chart.yaml", "Helm"),
            ("kustomization.yaml", "Kustomize"),
            ("kustomization.yml", "Kustomize"),
            ("Kustomization", "Kustomize"),
        ] {
            if inner == marker {
                bail!(
                    "this controller renders plain directories only: {name} makes the source {tool}"
                );
            }
        }
        let manifest = [".yaml", ".yml", ".json"]
            .iter()
            .any(|extension| inner.ends_with(extension));
        let wanted = include.as_ref().is_none_or(|glob| glob.is_match(inner))
            && exclude.as_ref().is_none_or(|glob| !glob.is_match(inner));
        let override_file = inner.starts_with(".argocd-source");
        if manifest && wanted && !override_file && (source.recurse || !inner.contains('/')) {
            chosen.push((name.clone(), blob.clone()));
        }
    }
    if chosen.len() > MAX_FILES {
        bail!("{}: more than {MAX_FILES} manifest files", source.path);
    }
    Ok(chosen)
}
