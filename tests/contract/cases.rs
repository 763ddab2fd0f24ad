//! Cases as data: `cases/*.yaml`, each a request and what to remember of its answer. A group has a namespace of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::bed::{Answer, Bed, Sent};
use super::normal::Normal;

/// The key of an object in a body that the rest is merged over.
const UNDER: &str = "$over";
const PATIENCE: Duration = Duration::from_secs(30);

/// One file of cases. With `each` all of them run once for every entry, whose fields are variables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    each: Vec<BTreeMap<String, Value>>,
    #[serde(default)]
    with: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it is about. Without a name it is only done, not compared.
    #[serde(default)]
    case: String,
    /// Method, path and query. `${name}` is a variable; `${ns}` is the group's namespace.
    send: String,
    #[serde(default, rename = "as")]
    user: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    accept: String,
    #[serde(default)]
    agent: String,
    #[serde(default)]
    body: Value,
    /// A body that is no YAML.
    #[serde(default)]
    raw: String,
    /// Variable and pointer into the answer.
    #[serde(default)]
    keep: BTreeMap<String, String>,
    /// Pointers into the answer that only have to be there.
    #[serde(default)]
    mask: Vec<String>,
    /// How many events of a watch are read.
    #[serde(default)]
    watch: usize,
    /// Asked again until the answer has these values at these pointers.
    #[serde(default)]
    until: Value,
    /// Entries of `each` for which it is left out.
    #[serde(default)]
    except: Vec<String>,
    /// The only entries of `each` for which it is done.
    #[serde(default)]
    only: Vec<String>,
}

/// What a case was answered, normalised: a recording holds a list of these.
#[derive(Clone, Debug, PartialEq, serde::Serialize, Deserialize)]
pub struct Recorded {
    pub case: String,
    pub user: String,
    pub request: String,
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub content: String,
    pub status: u16,
    pub media: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    pub answer: Value,
}

/// A group of cases with its variables, ready to run.
pub struct Group {
    pub name: String,
    variables: BTreeMap<String, Value>,
    entry: String,
    cases: Vec<Case>,
}

/// Every group of the files in a folder, in the order of their names.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Group>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    let mut groups = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        let file: File =
            serde_saphyr::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let entries = if file.each.is_empty() {
            vec![BTreeMap::new()]
        } else {
            file.each
        };
        for entry in entries {
            let key = entry
                .get("entry")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let name = if key.is_empty() {
                stem.clone()
            } else {
                format!("{stem}-{key}")
            };
            let mut variables = file.with.clone();
            variables.extend(entry);
            variables.insert("ns".to_owned(), json!(format!("contract-{name}")));
            groups.push(Group {
                name,
                variables,
                entry: key,
                cases: file.cases.clone(),
            });
        }
    }
    Ok(groups)
}

impl Group {
    /// Does every case, in order, in a new namespace, which it removes afterwards.
    pub async fn run(&self, bed: &Bed) -> anyhow::Result<Vec<Recorded>> {
        let namespace = self.text("${ns}", &self.variables)?;
        let admin = |method: &str, uri: String, body: Value| Sent {
            user: "admin".to_owned(),
            method: method.to_owned(),
            uri,
            content: "application/json".to_owned(),
            accept: "application/json".to_owned(),
            agent: "contract".to_owned(),
            body: body.to_string().into_bytes(),
        };
        let made =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let made = bed
            .send(&admin("POST", "/api/v1/namespaces".to_owned(), made))
            .await?;
        if made.status != 201 {
            bail!("the namespace {namespace} cannot be made: {}", made.body);
        }
        let mut run = Run {
            group: self,
            bed,
            variables: self.variables.clone(),
            normal: Normal::default(),
        };
        run.normal.name(&namespace, "NS");
        let mut recorded = Vec::new();
        for case in &self.cases {
            let left_out = case.except.contains(&self.entry)
                || !(case.only.is_empty() || case.only.contains(&self.entry));
            if left_out {
                continue;
            }
            let done = run.case(case).await;
            recorded.extend(
                done.with_context(|| format!("{}: {} {}", self.name, case.case, case.send))?,
            );
        }
        let gone = admin(
            "DELETE",
            format!("/api/v1/namespaces/{namespace}"),
            json!({}),
        );
        bed.send(&gone).await?;
        Ok(recorded)
    }

    fn text(&self, text: &str, variables: &BTreeMap<String, Value>) -> anyhow::Result<String> {
        let mut text = text.to_owned();
        // A variable may hold another one.
        for _ in 0..4 {
            let Some(start) = text.find("${") else { break };
            let end = start + text[start..].find('}').context("a ${ without its }")?;
            let name = &text[start + 2..end];
            let value = variables
                .get(name)
                .with_context(|| format!("there is no variable {name}"))?;
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            text.replace_range(start..=end, &value);
            text = self.text(&text, variables)?;
        }
        Ok(text)
    }

    /// A string that is one variable alone becomes its value, with its type.
    fn fill(&self, value: &Value, variables: &BTreeMap<String, Value>) -> anyhow::Result<Value> {
        Ok(match value {
            Value::String(text) => {
                let whole = text
                    .strip_prefix("${")
                    .and_then(|rest| rest.strip_suffix('}'))
                    .and_then(|name| variables.get(name));
                match whole {
                    Some(found) if !found.is_string() => self.fill(found, variables)?,
                    _ => json!(self.text(text, variables)?),
                }
            }
            Value::Array(all) => all
                .iter()
                .map(|one| self.fill(one, variables))
                .collect::<anyhow::Result<_>>()?,
            Value::Object(map) => {
                let mut out = serde_json::Map::new();
                for (key, one) in map.iter().filter(|(key, _)| *key != UNDER) {
                    out.insert(self.text(key, variables)?, self.fill(one, variables)?);
                }
                match map.get(UNDER) {
                    Some(under) => {
                        let mut under = self.fill(under, variables)?;
                        json_patch::merge(&mut under, &Value::Object(out));
                        under
                    }
                    None => Value::Object(out),
                }
            }
            other => other.clone(),
        })
    }
}

struct Run<'a> {
    group: &'a Group,
    bed: &'a Bed,
    variables: BTreeMap<String, Value>,
    normal: Normal,
}

impl Run<'_> {
    async fn case(&mut self, case: &Case) -> anyhow::Result<Option<Recorded>> {
        let sent = self.sent(case)?;
        let answer = self.ask(case, &sent).await?;
        for (name, pointer) in &case.keep {
            let kept = answer
                .body
                .pointer(pointer)
                .with_context(|| format!("nothing at {pointer} of {}", answer.body))?;
            self.variables.insert(name.clone(), kept.clone());
        }
        if case.case.is_empty() {
            if answer.status >= 400 && case.until.is_null() {
                bail!("answered {} {}", answer.status, answer.body);
            }
            return Ok(None);
        }
        let mut body = answer.body;
        for pointer in &case.mask {
            for place in places(&body, pointer) {
                if let Some(found) = body.pointer_mut(&place) {
                    *found = json!("<masked>");
                }
            }
        }
        let entry = &self.group.entry;
        let media = answer.content.split(';').next().unwrap_or_default();
        Ok(Some(Recorded {
            case: match entry.as_str() {
                "" => case.case.clone(),
                entry => format!("{} ({entry})", case.case),
            },
            user: sent.user.clone(),
            request: self.normal.text(&self.plain(case)?),
            content: case.kind.clone(),
            status: answer.status,
            media: media.to_owned(),
            warnings: answer
                .warnings
                .iter()
                .map(|warning| self.normal.text(warning))
                .collect(),
            answer: self.normal.value(&body),
        }))
    }

    /// The request's line as it is written in the file, with the variables that do not change from run to run.
    fn plain(&self, case: &Case) -> anyhow::Result<String> {
        let mut variables = self.variables.clone();
        for (name, value) in &mut variables {
            if !self.group.variables.contains_key(name) {
                *value = json!(format!("<{name}>"));
            }
        }
        self.group.text(&case.send, &variables)
    }

    fn sent(&self, case: &Case) -> anyhow::Result<Sent> {
        let line = self.group.text(&case.send, &self.variables)?;
        let (method, uri) = line.split_once(' ').context("a request is METHOD PATH")?;
        let body = self.group.fill(&case.body, &self.variables)?;
        let or = |given: &str, usual: &str| if given.is_empty() { usual } else { given }.to_owned();
        let content = match self.group.text(&case.kind, &self.variables)?.as_str() {
            "" => "application/json".to_owned(),
            "none" => String::new(),
            "apply" => "application/apply-patch+yaml".to_owned(),
            "json" => "application/json-patch+json".to_owned(),
            "merge" => "application/merge-patch+json".to_owned(),
            "strategic" => "application/strategic-merge-patch+json".to_owned(),
            other => other.to_owned(),
        };
        Ok(Sent {
            user: or(&self.group.text(&case.user, &self.variables)?, "admin"),
            method: method.to_owned(),
            uri: uri.replace(' ', "%20"),
            content,
            accept: or(&case.accept, "application/json"),
            agent: or(&case.agent, "contract/1.0"),
            body: match (&case.raw, &body) {
                (raw, Value::Null) => self.group.text(raw, &self.variables)?.into_bytes(),
                (_, body) => body.to_string().into_bytes(),
            },
        })
    }

    async fn ask(&self, case: &Case, sent: &Sent) -> anyhow::Result<Answer> {
        if case.watch > 0 {
            return self.bed.watch(sent, case.watch).await;
        }
        let deadline = Instant::now() + PATIENCE;
        let until = self.group.fill(&case.until, &self.variables)?;
        loop {
            let answer = self.bed.send(sent).await?;
            let mut wanted = until.as_object().into_iter().flatten();
            if wanted.all(|(pointer, value)| match pointer.as_str() {
                "status" => *value == json!(answer.status),
                pointer => answer.body.pointer(pointer).unwrap_or(&Value::Null) == value,
            }) {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                bail!("did not come: {until}, but {}", answer.body);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The pointers that a pointer with `*` stands for.
fn places(value: &Value, pointer: &str) -> Vec<String> {
    let Some((before, after)) = pointer.split_once("/*") else {
        return vec![pointer.to_owned()];
    };
    let keys: Vec<String> = match value.pointer(before) {
        Some(Value::Array(all)) => (0..all.len()).map(|at| at.to_string()).collect(),
        Some(Value::Object(map)) => map
            .keys()
            .map(|key| key.replace('~', "~0").replace('/', "~1"))
            .collect(),
        _ => Vec::new(),
    };
    keys.iter()
        .flat_map(|key| places(value, &format!("{before}/{key}{after}")))
        .collect()
}
