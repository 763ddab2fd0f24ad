//! Scenarios as data: the files under `assets/scenarios`, embedded, and what they say.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use include_dir::{Dir, include_dir};
use serde::Deserialize;
use serde_json::Value;

use crate::manifests;
use crate::metrics::Traffic;

static SCENARIOS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../assets/scenarios");

/// The scenario that is played if none is named.
pub const DEFAULT: &str = "inc-441";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    pub summary: String,
    pub repository: Repository,
    pub contexts: Vec<Context>,
    pub commits: Vec<Past>,
    pub steps: Vec<Step>,
    /// More of the world, by name, for those who ask for it.
    #[serde(default)]
    pub extras: BTreeMap<String, Vec<Step>>,
    pub traffic: Vec<Traffic>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    pub name: String,
    pub branch: String,
}

/// A kubeconfig context and the ServiceAccount behind it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Context {
    pub name: String,
    pub namespace: String,
    pub service_account: String,
}

/// A commit: the files of `repo/`, with some text put back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    pub ago: String,
    pub author: String,
    pub message: String,
    #[serde(default)]
    pub was: Vec<Was>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Was {
    pub path: String,
    pub now: String,
    pub was: String,
}

/// One thing that is done to the world, in order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Step {
    Namespaces(Vec<String>),
    /// Pushes `commits`.
    Push {},
    /// `kubectl apply -f`, client-side.
    Apply {
        files: Vec<String>,
        manager: String,
    },
    /// Waits until each Application was compared at the head with this outcome and is Healthy.
    Await {
        applications: BTreeMap<String, String>,
        #[serde(default)]
        operation: Option<String>,
    },
    /// A change by a person: a merge patch, and then its managed-fields entry is dated back.
    Edit {
        objects: Vec<Named>,
        manager: String,
        ago: String,
        merge: Value,
    },
    /// Requests a refresh and waits until it was consumed.
    Refresh(Vec<String>),
    /// Gives Applications a history of automated syncs.
    History {
        applications: Vec<String>,
        syncs: Vec<Sync>,
    },
    /// Deletes the Events of these namespaces: what happened long ago has none any more.
    ForgetEvents(Vec<String>),
    /// Dates a manager's entry back.
    Backdate {
        manager: String,
        ago: String,
        objects: Vec<Named>,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    pub commit: usize,
    pub ago: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Named {
    pub api_version: String,
    pub kind: String,
    #[serde(default)]
    pub namespace: String,
    pub name: String,
}

/// Name and one line of each scenario, the default first.
pub fn scenarios() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = SCENARIOS
        .dirs()
        .filter_map(|dir| Scenario::read(dir.path().to_str()?).ok())
        .map(|scenario| (scenario.name, scenario.summary))
        .collect();
    all.sort_by_key(|(name, _)| (name != DEFAULT, name.clone()));
    all
}

impl Scenario {
    /// The scenario called `name`; the error lists those that exist.
    pub fn find(name: &str) -> anyhow::Result<Scenario> {
        if SCENARIOS
            .get_file(format!("{name}/scenario.yaml"))
            .is_none()
        {
            let known: Vec<String> = scenarios().into_iter().map(|(name, _)| name).collect();
            return Err(anyhow!(
                "there is no scenario `{name}`; there is: {}",
                known.join(", ")
            ));
        }
        Scenario::read(name)
    }

    fn read(name: &str) -> anyhow::Result<Scenario> {
        let text = file(name, "scenario.yaml")?;
        let documents =
            manifests::parse(text).map_err(|why| anyhow!("{name}/scenario.yaml: {why}"))?;
        let document = documents
            .into_iter()
            .next()
            .with_context(|| format!("{name}/scenario.yaml is empty"))?;
        serde_json::from_value(document).with_context(|| format!("{name}/scenario.yaml"))
    }

    /// A file of the scenario's folder, as text.
    pub fn file(&self, path: &str) -> anyhow::Result<&'static str> {
        file(&self.name, path)
    }

    /// All files of the repository at its head, by path, with those of `extras`.
    pub fn tree(&self, extras: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
        let mut roots = vec![format!("{}/repo", self.name)];
        for extra in extras {
            if !self.extras.contains_key(extra) {
                let known: Vec<&str> = self.extras.keys().map(String::as_str).collect();
                return Err(anyhow!(
                    "the scenario {} has no extra `{extra}`; there is: {}",
                    self.name,
                    known.join(", ")
                ));
            }
            roots.push(format!("{}/extras/{extra}", self.name));
        }
        let mut files = BTreeMap::new();
        for root in roots {
            let dir = SCENARIOS
                .get_dir(&root)
                .with_context(|| format!("the scenario has no folder {root}"))?;
            let mut open = vec![dir];
            while let Some(dir) = open.pop() {
                open.extend(dir.dirs());
                for file in dir.files() {
                    let path = file.path().strip_prefix(&root).unwrap_or(file.path());
                    let text = file
                        .contents_utf8()
                        .with_context(|| format!("{} is not text", path.display()))?;
                    files.insert(path.to_string_lossy().into_owned(), text.to_owned());
                }
            }
        }
        Ok(files)
    }
}

fn file(scenario: &str, path: &str) -> anyhow::Result<&'static str> {
    SCENARIOS
        .get_file(format!("{scenario}/{path}"))
        .and_then(|file| file.contents_utf8())
        .with_context(|| format!("the scenario {scenario} has no text file {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_reads_and_the_default_comes_first() {
        for dir in SCENARIOS.dirs() {
            let name = dir.path().to_str().unwrap();
            let scenario = Scenario::find(name).unwrap();
            assert_eq!(scenario.name, name);
            let extras: Vec<String> = scenario.extras.keys().cloned().collect();
            let tree = scenario.tree(&extras).unwrap();
            for was in scenario.commits.iter().flat_map(|commit| &commit.was) {
                assert!(
                    tree[&was.path].contains(&was.now),
                    "{name}: {} in {}",
                    was.now,
                    was.path
                );
            }
        }
        assert_eq!(scenarios()[0].0, DEFAULT);
        let misspelt = Scenario::find(DEFAULT)
            .unwrap()
            .tree(&["bilingual".to_owned()]);
        assert!(misspelt.unwrap_err().to_string().contains("billing"));
        let error = Scenario::find("inc-000").unwrap_err().to_string();
        assert!(
            error.contains("inc-000") && error.contains(DEFAULT),
            "{error}"
        );
    }
}
