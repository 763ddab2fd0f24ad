//! What Git says: sources rendered at the head and at the last synced revision, kept by the id of their tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;
use trueup_core::drift::Desired;
use trueup_core::drift::report::ReportError;
use trueup_core::object::hook::is_hook;
use trueup_core::object::identity::{AppKey, ObjectRef};
use trueup_core::source::plain::{self, DirectoryOptions, Rendering};

use super::{AppSeen, CONCURRENT, Files, Look, Reader, declared, from_git};
use crate::ports::{GitError, GitFailure, Repo, SourceFile, holds};

/// Renderings and declared Applications, by what they were made from.
#[derive(Default)]
pub(super) struct Cache {
    folders: BTreeMap<FolderKey, Arc<Folder>>,
    pub declared: BTreeMap<(String, String), Arc<declared::Found>>,
}

/// A rendering is a function of these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FolderKey {
    url: String,
    tree: String,
    /// Path, recursion and patterns, as text.
    options: String,
    namespace: String,
}

struct Folder {
    rendering: Arc<Rendering>,
    files: Arc<Files>,
    /// Why this is no plain directory.
    unsupported: Option<String>,
}

/// What one Application's rendering needs.
#[derive(Clone)]
struct Job {
    key: AppKey,
    url: String,
    options: DirectoryOptions,
    namespace: String,
    head: String,
    base: Option<String>,
}

struct Done {
    key: AppKey,
    head: Result<Arc<Folder>, GitError>,
    base: Option<Result<Arc<Folder>, GitError>>,
}

/// Why an Application's source is not a plain directory; `None` when it may be one.
pub(super) fn unsupported(application: &Value) -> Option<String> {
    let spec = application.get("spec")?;
    if spec.get("sourceHydrator").is_some() {
        return Some(
            "its source is hydrated (sourceHydrator), which is not rendered here".to_owned(),
        );
    }
    let sources = spec
        .get("sources")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if sources > 1 {
        return Some(format!(
            "it has {sources} sources; several sources are not rendered here"
        ));
    }
    let source = if sources == 1 {
        spec.pointer("/sources/0")
    } else {
        spec.get("source")
    };
    let Some(source) = source else {
        return Some("it names no source".to_owned());
    };
    for (field, tool) in [
        ("chart", "Helm"),
        ("helm", "Helm"),
        ("kustomize", "Kustomize"),
        ("plugin", "a plugin"),
    ] {
        if source.get(field).is_some_and(|value| !value.is_null()) {
            return Some(format!(
                "its source is rendered by {tool}, which is not supported here"
            ));
        }
    }
    let directory = source.get("directory");
    if directory
        .and_then(|directory| directory.get("jsonnet"))
        .is_some_and(|value| !value.is_null())
    {
        return Some("its source uses Jsonnet, which is not supported here".to_owned());
    }
    match application
        .pointer("/status/sourceType")
        .and_then(Value::as_str)
    {
        None | Some("" | "Directory") => None,
        Some(tool) => Some(format!(
            "its source is rendered by {tool}, which is not supported here"
        )),
    }
}

/// The revision of the last sync that succeeded in full. `status.history` has only such; the last operation may be newer.
pub(super) fn base_revision(application: &Value) -> Option<String> {
    let text = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let last = application
        .pointer("/status/history")
        .and_then(Value::as_array)
        .and_then(|history| history.last());
    let deployed = last.map(|entry| (text(entry.get("deployedAt")), text(entry.get("revision"))));
    let operation = application
        .pointer("/status/operationState")
        .filter(|state| {
            let partial = state
                .pointer("/operation/sync/resources")
                .and_then(Value::as_array)
                .is_some_and(|r| !r.is_empty());
            let dry_run = state
                .pointer("/operation/sync/dryRun")
                .and_then(Value::as_bool)
                .unwrap_or(false);
            state.get("phase").and_then(Value::as_str) == Some("Succeeded") && !partial && !dry_run
        });
    let synced = operation
        .map(|state| {
            (
                text(state.get("finishedAt")),
                text(state.pointer("/syncResult/revision")),
            )
        })
        .filter(|(_, revision)| revision.is_some());
    match (deployed, synced) {
        // RFC 3339 in UTC with whole seconds: the later one is the greater text.
        (Some((then, revision)), Some((finished, newer))) => {
            if finished > then {
                newer
            } else {
                revision
            }
        }
        (Some((_, revision)), None) | (None, Some((_, revision))) => revision,
        (None, None) => None,
    }
}

impl Reader {
    /// Renders every Application of the look, at its head and at its base.
    pub(super) async fn render_all(&self, look: &mut Look) {
        let mut jobs = Vec::new();
        for app in look.apps.values_mut() {
            if let Some(why) = unsupported(&app.object) {
                app.complete = false;
                look.errors.push(ReportError::new(
                    format!("render {} from Git", app.key),
                    why,
                    "compare this application with `argocd app diff`, or leave it out of the scope",
                ));
                continue;
            }
            let Some(head) = app.head.clone() else {
                continue;
            };
            let source = app
                .object
                .pointer("/spec/source")
                .or_else(|| app.object.pointer("/spec/sources/0"));
            let directory = source.and_then(|source| source.get("directory"));
            let pattern = |field: &str| {
                let text = directory
                    .and_then(|directory| directory.get(field))
                    .and_then(Value::as_str);
                text.unwrap_or_default().to_owned()
            };
            let options = DirectoryOptions {
                recurse: directory
                    .and_then(|d| d.get("recurse"))
                    .and_then(Value::as_bool)
                    .unwrap_or(false),
                include: pattern("include"),
                exclude: pattern("exclude"),
                path: folder_path(&app.path),
            };
            jobs.push(Job {
                key: app.key.clone(),
                url: app.repo_url.clone(),
                options,
                namespace: app.destination.namespace.clone(),
                head,
                base: app.base_revision.clone(),
            });
        }
        self.prefetch(&jobs).await;
        let done: Vec<Done> = futures::stream::iter(jobs.clone())
            .map(|job| self.render(job))
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        for done in done {
            let Some(app) = look.apps.get_mut(&done.key) else {
                continue;
            };
            self.take_rendering(app, done, &mut look.errors);
        }
        self.find_declared(&jobs, look).await;
    }

    /// Brings each head into its mirror once, so that the renderings beside each other find it there.
    async fn prefetch(&self, jobs: &[Job]) {
        let commits: BTreeSet<(&str, &str)> = jobs
            .iter()
            .map(|job| (job.url.as_str(), job.head.as_str()))
            .collect();
        futures::stream::iter(commits)
            .for_each_concurrent(CONCURRENT, |(url, sha)| async move {
                if let Ok(repo) = self.repos.open(url).await {
                    // A failure comes back, with its reason, when the rendering asks again.
                    let _ = repo.tree_id(sha, "").await;
                }
            })
            .await;
    }

    async fn render(&self, job: Job) -> Done {
        let head = self.folder(&job, &job.head).await;
        let base = match &job.base {
            Some(base) if *base == job.head => Some(head.clone()),
            Some(base) => Some(self.folder(&job, base).await),
            None => None,
        };
        Done {
            key: job.key,
            head,
            base,
        }
    }

    async fn folder(&self, job: &Job, sha: &str) -> Result<Arc<Folder>, GitError> {
        let repo = self.repos.open(&job.url).await?;
        let Some(tree) = repo.tree_id(sha, &job.options.path).await? else {
            return Err(GitError {
                failure: GitFailure::NoSuchRevision,
                what: format!("read {:?} at {sha} ({})", job.options.path, job.url),
                why: "there is no such folder at this commit".to_owned(),
                hint: "check the Application's path".to_owned(),
            });
        };
        let key = FolderKey {
            url: job.url.clone(),
            tree,
            options: format!("{:?}", job.options),
            namespace: job.namespace.clone(),
        };
        if let Some(folder) = self.cache.lock().await.folders.get(&key) {
            return Ok(folder.clone());
        }
        let folder = Arc::new(read_folder(repo.as_ref(), job, sha).await?);
        self.cache.lock().await.folders.insert(key, folder.clone());
        Ok(folder)
    }

    fn take_rendering(&self, app: &mut AppSeen, done: Done, errors: &mut Vec<ReportError>) {
        let folder = match done.head {
            Ok(folder) => folder,
            Err(error) => {
                app.complete = false;
                errors.push(from_git(&error));
                return;
            }
        };
        let refused = errors.len();
        if let Some(why) = &folder.unsupported {
            errors.push(ReportError::new(
                format!("render {} from Git", app.key),
                why,
                "compare this application with `argocd app diff`, or leave it out of the scope",
            ));
        }
        for error in &folder.rendering.errors {
            errors.push(ReportError::new(
                format!("render {} from Git", app.key),
                format!("{}: {}", error.file, error.why),
                "repair the file: Argo CD cannot render the application either",
            ));
        }
        if errors.len() > refused {
            app.complete = false;
            return;
        }
        for rendered in &folder.rendering.objects {
            if is_hook(&rendered.object) {
                app.hooks
                    .extend(ObjectRef::from_object(&rendered.object).ok());
                continue;
            }
            app.desired.push(Desired {
                object: self.shared(&rendered.object),
                repo: app.repo_url.clone(),
                file: rendered.file.clone(),
                line: rendered.line,
            });
        }
        app.rendering = Some(folder.rendering.clone());
        app.files = folder.files.clone();
        match done.base {
            Some(Ok(base)) if base.unsupported.is_none() && base.rendering.errors.is_empty() => {
                let objects = base
                    .rendering
                    .objects
                    .iter()
                    .filter(|rendered| !is_hook(&rendered.object));
                app.base = Some(
                    objects
                        .map(|rendered| self.shared(&rendered.object))
                        .collect(),
                );
            }
            Some(Ok(_)) => errors.push(ReportError::new(
                format!("render {} at the last synced revision", app.key),
                "the files of that revision cannot be rendered",
                "no side is suggested for this application: decide each difference yourself",
            )),
            Some(Err(error)) => errors.push(ReportError::new(
                format!(
                    "render {} at the last synced revision: {}",
                    app.key, error.what
                ),
                &error.why,
                "no side is suggested for this application: decide each difference yourself",
            )),
            None => {}
        }
    }

    /// Looks for the Applications' own manifests in the repositories that they are rendered from.
    async fn find_declared(&self, jobs: &[Job], look: &mut Look) {
        let commits: BTreeSet<(String, String)> = jobs
            .iter()
            .map(|job| (job.url.clone(), job.head.clone()))
            .collect();
        for (url, sha) in commits {
            let read: BTreeMap<String, Arc<Files>> = jobs
                .iter()
                .filter(|job| job.url == url && job.head == sha && !job.options.path.is_empty())
                .filter_map(|job| {
                    let app = look.apps.get(&job.key)?;
                    app.rendering.as_ref()?;
                    Some((job.options.path.clone(), app.files.clone()))
                })
                .collect();
            match self.declared_in(&url, &sha, read).await {
                Ok(found) => {
                    for app in look.apps.values_mut().filter(|app| app.declared.is_none()) {
                        app.declared = found.of(&app.key, &self.namespace).map(|mut declared| {
                            declared.object = self.redacted(declared.object);
                            declared
                        });
                    }
                }
                Err(error) => look.errors.push(from_git(&error)),
            }
        }
    }

    /// `read`: folders of this commit that were read already, with all that is below them.
    async fn declared_in(
        &self,
        url: &str,
        sha: &str,
        read: BTreeMap<String, Arc<Files>>,
    ) -> Result<Arc<declared::Found>, GitError> {
        let repo = self.repos.open(url).await?;
        let tree = repo.tree_id(sha, "").await?.unwrap_or_default();
        let key = (url.to_owned(), tree);
        if let Some(found) = self.cache.lock().await.declared.get(&key) {
            return Ok(found.clone());
        }
        let beside: Vec<String> = read.keys().cloned().collect();
        let mut files = repo.manifests_with(sha, declared::NEEDLE, &beside).await?;
        for (path, bytes) in read.values().flat_map(|files| files.iter()) {
            if holds(bytes, declared::NEEDLE.as_bytes())
                && !files.iter().any(|file| file.path == *path)
            {
                files.push(SourceFile {
                    path: path.clone(),
                    bytes: bytes.clone(),
                });
            }
        }
        files.retain(SourceFile::is_manifest);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let found = Arc::new(declared::scan(url, &files));
        self.cache.lock().await.declared.insert(key, found.clone());
        Ok(found)
    }
}

/// A source's path as files are named by: without `./` and slashes at the ends, empty for the root.
fn folder_path(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    parts.join("/")
}

async fn read_folder(repo: &dyn Repo, job: &Job, sha: &str) -> Result<Folder, GitError> {
    let base = &job.options.path;
    let files = repo.files(sha, base).await?;
    let names: BTreeSet<&str> = files
        .iter()
        .map(|file| {
            file.path
                .strip_prefix(base.as_str())
                .unwrap_or(&file.path)
                .trim_start_matches('/')
        })
        .collect();
    let unsupported = if names.contains("Chart.yaml") {
        Some("the folder is a Helm chart (Chart.yaml), which is not supported here".to_owned())
    } else if ["kustomization.yaml", "kustomization.yml", "Kustomization"]
        .iter()
        .any(|name| names.contains(name))
    {
        Some("the folder is a Kustomize one, which is not supported here".to_owned())
    } else {
        names
            .iter()
            .find(|name| name.starts_with(".argocd-source") && !name.contains('/'))
            .map(|file| format!("the file {file} overrides the Application's source, which is not supported here"))
    };
    let files: Files = files
        .into_iter()
        .map(|file| (file.path, file.bytes))
        .collect();
    if unsupported.is_some() {
        return Ok(Folder {
            rendering: Arc::default(),
            files: Arc::new(files),
            unsupported,
        });
    }
    // Parsing is work for a thread of its own.
    let (options, namespace) = (job.options.clone(), job.namespace.clone());
    let rendered = tokio::task::spawn_blocking(move || {
        let rendering = plain::render(&files, &options, &namespace);
        (rendering, files)
    })
    .await;
    let (rendering, files) = rendered.map_err(|_| GitError {
        failure: GitFailure::Local,
        what: format!("render {:?} at {sha} ({})", job.options.path, job.url),
        why: "the work was interrupted".to_owned(),
        hint: String::new(),
    })?;
    Ok(Folder {
        rendering: Arc::new(rendering),
        files: Arc::new(files),
        unsupported,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_base_is_the_last_full_success() {
        let entry = |at: &str, revision: &str| json!({"deployedAt": at, "revision": revision});
        let state = |phase: &str, sync: Value| {
            json!({"phase": phase, "finishedAt": "2026-01-03T00:00:00Z", "operation": {"sync": sync},
                   "syncResult": {"revision": "new"}})
        };
        let history = json!([
            entry("2026-01-01T00:00:00Z", "one"),
            entry("2026-01-02T00:00:00Z", "two")
        ]);
        let app = |state: Value| json!({"status": {"history": history, "operationState": state}});
        assert_eq!(
            base_revision(&app(state("Succeeded", json!({})))).as_deref(),
            Some("new")
        );
        assert_eq!(
            base_revision(&app(state("Failed", json!({})))).as_deref(),
            Some("two")
        );
        assert_eq!(
            base_revision(&app(state("Succeeded", json!({"dryRun": true})))).as_deref(),
            Some("two")
        );
        assert_eq!(
            base_revision(&app(state(
                "Succeeded",
                json!({"resources": [{"kind": "X"}]})
            )))
            .as_deref(),
            Some("two")
        );
        assert_eq!(base_revision(&json!({})), None);
    }

    #[test]
    fn what_is_not_a_plain_directory_is_named() {
        for (spec, word) in [
            (json!({"source": {"chart": "x"}}), "Helm"),
            (
                json!({"source": {"kustomize": {"images": []}}}),
                "Kustomize",
            ),
            (json!({"sources": [{}, {}]}), "2 sources"),
            (json!({"sourceHydrator": {}}), "hydrated"),
            (json!({"source": {"plugin": {"name": "x"}}}), "plugin"),
            (json!({}), "no source"),
        ] {
            let why = unsupported(&json!({"spec": spec})).unwrap();
            assert!(why.contains(word), "{why}");
        }
        assert_eq!(
            unsupported(&json!({"spec": {"source": {"repoURL": "x", "path": "y"}}})),
            None
        );
    }
}
