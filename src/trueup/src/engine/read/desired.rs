//! What Git says: sources rendered at the head and at the last synced revision, kept by the id of their tree.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;
use trueup_core::drift::report::ReportError;
use trueup_core::drift::{AppInput, Desired};
use trueup_core::object::hook::is_hook;
use trueup_core::object::identity::{AppKey, ObjectRef};
use trueup_core::object::live::Live;
use trueup_core::source::plain::{self, DirectoryOptions, Rendering};

use super::{AppSeen, CONCURRENT, Files, Look, Reader, beside, declared, from_git};
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
    options: DirectoryOptions,
    namespace: String,
    /// Whether its files were kept.
    files: bool,
}

struct Folder {
    rendering: Arc<Rendering>,
    /// All of them, or those that may declare an Application.
    files: Arc<Files>,
    /// Why this is no plain directory.
    unsupported: Option<String>,
}

/// What is to be rendered: a folder of a commit, for a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    url: String,
    sha: String,
    options: DirectoryOptions,
    namespace: String,
}

/// What one Application's rendering needs.
#[derive(Clone)]
struct Job {
    key: AppKey,
    head: Wanted,
    base: Option<Wanted>,
}

/// What was rendered of each.
type Renderings = HashMap<Wanted, Result<Arc<Folder>, GitError>>;

/// Folders that are read and rendered in one go.
const TOGETHER: usize = 16;

/// Why an Application's source is not a plain directory; `None` when it may be one.
pub(in super::super) fn unsupported(application: &Value) -> Option<String> {
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
    pub(super) async fn render_all(&self, look: &mut Look, keep: bool) {
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
            let head = Wanted::of(app, head);
            let base = app.base_revision.clone();
            jobs.push(Job {
                key: app.key.clone(),
                base: base.map(|sha| Wanted {
                    sha,
                    ..head.clone()
                }),
                head,
            });
        }
        let renderings = self.render(&jobs, keep).await;
        let of: HashMap<&AppKey, &Job> = jobs.iter().map(|job| (&job.key, job)).collect();
        let apps = look.apps.iter_mut();
        let mut apps: Vec<(&mut AppSeen, &Job)> = apps
            .filter_map(|(key, app)| Some((app, *of.get(key)?)))
            .collect();
        let parts = beside::part_of(apps.len());
        let errors = beside::each(apps.chunks_mut(parts), |apps| {
            let mut errors = Vec::new();
            for (app, job) in apps {
                self.take_rendering(app, job, &renderings, &mut errors);
            }
            errors
        });
        look.errors.extend(errors.into_iter().flatten());
        self.find_declared(&jobs, look).await;
    }

    /// An Application as it was live, as a snapshot kept it, against Git as this look has it.
    pub(in super::super) async fn as_of(
        &self,
        app: &AppSeen,
        application: Value,
        live: Vec<Value>,
    ) -> AppInput {
        let synced = base_revision(&application);
        let base = match synced {
            synced if synced == app.base_revision => app.base.clone(),
            // It was synced since: what it was synced to before is not its own either.
            Some(sha) => self.rendered_at(Wanted::of(app, sha)).await,
            None => None,
        };
        AppInput {
            application,
            desired: app.desired.clone(),
            base,
            live: live.into_iter().map(Live::from).map(Arc::new).collect(),
            declared: app
                .declared
                .as_ref()
                .map(|declared| declared.object.clone()),
            ..AppInput::default()
        }
    }

    async fn rendered_at(&self, wanted: Wanted) -> Option<Vec<Arc<Value>>> {
        let commit = (wanted.url.clone(), wanted.sha.clone());
        let (_, folder) = self
            .render_commit(commit, vec![wanted], false)
            .await
            .pop()?;
        let folder = folder.ok()?;
        let sound = folder.unsupported.is_none() && folder.rendering.errors.is_empty();
        let objects = folder.rendering.objects.iter();
        let objects = objects.filter(|rendered| !is_hook(&rendered.object));
        sound.then(|| objects.map(|one| self.shared(&one.object)).collect())
    }

    /// Renders each folder of each commit once.
    async fn render(&self, jobs: &[Job], keep: bool) -> Renderings {
        let commits = by_commit(jobs)
            .into_iter()
            .map(|(commit, wanted)| self.render_commit(commit, wanted, keep));
        let done: Vec<_> = futures::stream::iter(commits)
            .buffer_unordered(CONCURRENT)
            .concat()
            .await;
        done.into_iter().collect()
    }

    async fn render_commit(
        &self,
        (url, sha): (String, String),
        wanted: Vec<Wanted>,
        keep: bool,
    ) -> Vec<(Wanted, Result<Arc<Folder>, GitError>)> {
        let paths: Vec<String> = wanted.iter().map(|one| one.options.path.clone()).collect();
        let found = async {
            let repo = self.repos.open(&url).await?;
            let trees = repo.tree_ids(&sha, &paths).await?;
            Ok((repo, trees))
        };
        let (repo, trees) = match found.await {
            Ok(found) => found,
            Err(error) => return failed(wanted, &error),
        };
        let mut done = Vec::with_capacity(wanted.len());
        let mut missing: Vec<(FolderKey, Wanted)> = Vec::new();
        {
            let cache = self.cache.lock().await;
            for (tree, wanted) in trees.into_iter().zip(wanted) {
                let tree = tree.and_then(|tree| tree.ok_or_else(|| no_folder(&wanted)));
                match tree.map(|tree| wanted.key(tree, keep)) {
                    Ok(key) => match cache.folders.get(&key) {
                        Some(folder) => done.push((wanted, Ok(folder.clone()))),
                        None => missing.push((key, wanted)),
                    },
                    Err(error) => done.push((wanted, Err(error))),
                }
            }
        }
        let mut parts = Vec::new();
        while !missing.is_empty() {
            let part = missing.split_off(missing.len().saturating_sub(TOGETHER));
            parts.push(read_folders(repo.clone(), sha.clone(), part));
        }
        // As many at once as there are processors: the lists of what is live come in beside this, and must not wait.
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let read: Vec<_> = futures::stream::iter(parts)
            .buffer_unordered(at_once)
            .concat()
            .await;
        let mut cache = self.cache.lock().await;
        for (key, wanted, folder) in read {
            if let Ok(folder) = &folder {
                cache.folders.insert(key, folder.clone());
            }
            done.push((wanted, folder));
        }
        done
    }

    fn take_rendering(
        &self,
        app: &mut AppSeen,
        job: &Job,
        renderings: &Renderings,
        errors: &mut Vec<ReportError>,
    ) {
        let folder = match renderings.get(&job.head) {
            Some(Ok(folder)) => folder,
            Some(Err(error)) => {
                app.complete = false;
                errors.push(from_git(error));
                return;
            }
            None => return,
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
        match job.base.as_ref().and_then(|base| renderings.get(base)) {
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

    /// Reads the files of some Applications after they were let go. What cannot be read again is not there, as before.
    pub(super) async fn read_again(
        &self,
        apps: &mut BTreeMap<AppKey, AppSeen>,
        wanted: &BTreeSet<AppKey>,
    ) {
        for key in wanted {
            let Some(app) = apps.get_mut(key) else {
                continue;
            };
            let (Some(head), Ok(repo)) = (&app.head, self.repos.open(&app.repo_url).await) else {
                continue;
            };
            if let Ok(files) = repo.files(head, &folder_path(&app.path)).await {
                let files = files.into_iter().map(|file| (file.path, file.bytes));
                app.files = Arc::new(files.collect());
            }
        }
    }

    /// Looks for the Applications' own manifests in the repositories that they are rendered from.
    async fn find_declared(&self, jobs: &[Job], look: &mut Look) {
        let commits: BTreeSet<(String, String)> = jobs
            .iter()
            .map(|job| (job.head.url.clone(), job.head.sha.clone()))
            .collect();
        for (url, sha) in commits {
            let read: BTreeMap<String, Arc<Files>> = jobs
                .iter()
                .filter(|job| job.head.url == url && job.head.sha == sha)
                .filter(|job| !job.head.options.path.is_empty())
                .filter_map(|job| {
                    let app = look.apps.get(&job.key)?;
                    app.rendering.as_ref()?;
                    Some((job.head.options.path.clone(), app.files.clone()))
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
pub(in super::super) fn folder_path(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    parts.join("/")
}

impl Job {
    fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        std::iter::once(&self.head).chain(&self.base)
    }
}

/// What is to be rendered of each commit, each folder once.
fn by_commit(jobs: &[Job]) -> BTreeMap<(String, String), Vec<Wanted>> {
    let mut commits: BTreeMap<(String, String), Vec<Wanted>> = BTreeMap::new();
    let mut known: HashSet<&Wanted> = HashSet::new();
    for wanted in jobs.iter().flat_map(Job::wanted) {
        if known.insert(wanted) {
            let commit = (wanted.url.clone(), wanted.sha.clone());
            commits.entry(commit).or_default().push(wanted.clone());
        }
    }
    commits
}

impl Wanted {
    /// The folder of an Application at a commit.
    fn of(app: &AppSeen, sha: String) -> Self {
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
        Self {
            url: app.repo_url.clone(),
            sha,
            options,
            namespace: app.destination.namespace.clone(),
        }
    }

    fn key(&self, tree: String, files: bool) -> FolderKey {
        FolderKey {
            url: self.url.clone(),
            tree,
            options: self.options.clone(),
            namespace: self.namespace.clone(),
            files,
        }
    }
}

fn no_folder(wanted: &Wanted) -> GitError {
    GitError {
        failure: GitFailure::NoSuchRevision,
        what: format!(
            "read {:?} at {} ({})",
            wanted.options.path, wanted.sha, wanted.url
        ),
        why: "there is no such folder at this commit".to_owned(),
        hint: "check the Application's path".to_owned(),
    }
}

fn failed(wanted: Vec<Wanted>, error: &GitError) -> Vec<(Wanted, Result<Arc<Folder>, GitError>)> {
    let with = |wanted| (wanted, Err(error.clone()));
    wanted.into_iter().map(with).collect()
}

/// Reads folders of one commit and renders them.
async fn read_folders(
    repo: Arc<dyn Repo>,
    sha: String,
    wanted: Vec<(FolderKey, Wanted)>,
) -> Vec<(FolderKey, Wanted, Result<Arc<Folder>, GitError>)> {
    let of_all = |wanted: Vec<(FolderKey, Wanted)>, error: GitError| {
        let with = |(key, wanted)| (key, wanted, Err(error.clone()));
        wanted.into_iter().map(with).collect()
    };
    let paths: Vec<String> = wanted
        .iter()
        .map(|(_, wanted)| wanted.options.path.clone())
        .collect();
    let read = match repo.folders(&sha, &paths).await {
        Ok(read) => read,
        Err(error) => return of_all(wanted, error),
    };
    let work = wanted.clone();
    // Parsing is work for a thread of its own.
    let rendered = tokio::task::spawn_blocking(move || {
        work.into_iter()
            .zip(read)
            .map(|((key, wanted), files)| {
                let folder = files.map(|files| Arc::new(render_folder(&wanted, files, key.files)));
                (key, wanted, folder)
            })
            .collect()
    })
    .await;
    rendered.unwrap_or_else(|_| {
        let error = GitError {
            failure: GitFailure::Local,
            what: format!("render {} at {sha} ({})", paths.join(", "), repo.url()),
            why: "the work was interrupted".to_owned(),
            hint: String::new(),
        };
        of_all(wanted, error)
    })
}

fn render_folder(wanted: &Wanted, files: Vec<SourceFile>, keep: bool) -> Folder {
    let base = wanted.options.path.as_str();
    let names: BTreeSet<&str> = files
        .iter()
        .map(|file| {
            file.path
                .strip_prefix(base)
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
    let mut files: Files = files
        .into_iter()
        .map(|file| (file.path, file.bytes))
        .collect();
    let rendering = match unsupported {
        Some(_) => Rendering::default(),
        None => plain::render(&files, &wanted.options, &wanted.namespace),
    };
    if !keep {
        files.retain(|(_, bytes)| holds(bytes, declared::NEEDLE.as_bytes()));
        files.shrink_to_fit();
    }
    Folder {
        rendering: Arc::new(rendering),
        files: Arc::new(files),
        unsupported,
    }
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
