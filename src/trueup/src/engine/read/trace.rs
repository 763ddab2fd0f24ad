//! From a field of an object to the bytes of Git that make it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trueup_core::drift::report::DriftReport;
use trueup_core::object::identity::{AppKey, ObjectKey, ObjectRef};
use trueup_core::object::path::FieldPath;
use trueup_core::object::redact::redact;
use trueup_core::source::plain::Rendered;
use trueup_core::source::provenance::{Located, locate};

use super::{AppSeen, Reader};

/// Where a field comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    pub repo: String,
    pub path: String,
    /// Index of the document in the file.
    pub doc: usize,
    /// Line of the value, from 1.
    pub line: usize,
    /// Byte offsets in the file; `end` is one past the last.
    pub start: usize,
    pub end: usize,
    /// As Kubernetes reads it; a digest for a secret.
    pub value: Value,
}

/// Why a field was not traced, in words, with the nearest line of its object's file when there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Untraced {
    pub why: String,
    pub hint: String,
}

impl Untraced {
    fn new(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: hint.into(),
        }
    }
}

impl Reader {
    /// The bytes of Git at the head that make a field. `namespace` chooses among objects of one kind and name.
    pub fn trace(
        &self,
        app: &AppSeen,
        kind: &str,
        name: &str,
        namespace: Option<&str>,
        field: &FieldPath,
    ) -> Result<Traced, Untraced> {
        let Some(rendering) = &app.rendering else {
            return Err(Untraced::new(
                format!("{} could not be rendered from Git", app.key),
                "see the other errors",
            ));
        };
        let fits = |rendered: &&Rendered| {
            ObjectRef::from_object(&rendered.object).is_ok_and(|object| {
                object.kind.eq_ignore_ascii_case(kind)
                    && object.name == name
                    && namespace.is_none_or(|wanted| object.namespace.as_deref() == Some(wanted))
            })
        };
        let mut found = rendering.objects.iter().filter(fits);
        let Some(rendered) = found.next() else {
            return Err(Untraced::new(
                format!("Git renders no {kind}/{name} for {}", app.key),
                "check the kind and the name; an object that only lives on the cluster has no line in Git",
            ));
        };
        if found.next().is_some() {
            return Err(Untraced::new(
                format!("Git renders several objects {kind}/{name} for {}", app.key),
                "name the namespace as KIND/NAMESPACE/NAME",
            ));
        }
        let bytes = file_of(app, &rendered.file).unwrap_or_default();
        let located = locate(bytes, rendered.doc, rendered.item, field).map_err(|error| {
            Untraced::new(
                format!("{}: {error}", rendered.file),
                "a field that only lives on the cluster has no line in Git; `trueup drift` shows both sides",
            )
        })?;
        Ok(Traced {
            repo: app.repo_url.clone(),
            path: rendered.file.clone(),
            doc: located.doc,
            line: located.line,
            start: located.start,
            end: located.end,
            value: self.shown(&rendered.object, field, located),
        })
    }

    /// The value with digests for what is secret.
    fn shown(&self, object: &Value, field: &FieldPath, located: Located) -> Value {
        let mut redacted = object.clone();
        redact(&mut redacted, &self.secret_key);
        if redacted == *object {
            return located.value;
        }
        // The object holds secrets: only what redaction leaves or made may be shown.
        field.get(&redacted).cloned().unwrap_or(Value::Null)
    }
}

fn file_of<'a>(app: &'a AppSeen, path: &str) -> Option<&'a [u8]> {
    app.files
        .iter()
        .find(|(known, _)| known == path)
        .map(|(_, bytes)| bytes.as_slice())
}

/// The Applications that the report has a question about.
pub(super) fn asked(report: &DriftReport) -> BTreeSet<AppKey> {
    let cells = report.questions.iter().flat_map(|question| &question.cells);
    cells
        .map(|cell| {
            AppKey::new(
                cell.application_namespace.as_str(),
                cell.application.as_str(),
            )
        })
        .collect()
}

/// Points every cell of the report at its field's own line, where the field stands in Git.
pub(super) fn sharpen(report: &mut DriftReport, apps: &BTreeMap<AppKey, AppSeen>) {
    let mut rendered: BTreeMap<(&AppKey, ObjectKey), &Rendered> = BTreeMap::new();
    for app in asked(report).iter().filter_map(|key| apps.get(key)) {
        for one in app
            .rendering
            .iter()
            .flat_map(|rendering| &rendering.objects)
        {
            if let Ok(object) = ObjectRef::from_object(&one.object) {
                rendered.insert((&app.key, object.key()), one);
            }
        }
    }
    for question in &mut report.questions {
        for cell in &mut question.cells {
            let key = AppKey::new(
                cell.application_namespace.as_str(),
                cell.application.as_str(),
            );
            let Some(app) = apps.get(&key) else { continue };
            let (Some(source), Some(one)) =
                (&mut cell.source, rendered.get(&(&key, cell.object.key())))
            else {
                continue;
            };
            let Some(bytes) = file_of(app, &one.file) else {
                continue;
            };
            if let Ok(located) = locate(bytes, one.doc, one.item, &question.field) {
                source.line = located.line;
            }
        }
    }
}
