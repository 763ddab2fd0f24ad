//! `trueup trace APP KIND/NAME FIELD`: which bytes of which file make that field.

use std::io::Write;

use serde_json::json;
use trueup_core::drift::report::ReportError;
use trueup_core::object::path::FieldPath;
use trueup_core::text;

use super::output::{self, exit};
use crate::adapters::clock::random_key;
use crate::engine::read::{LookOptions, from_read};
use crate::ports::no_log;
use crate::settings::{Output, Settings};
use crate::wiring::wire;

/// Arguments of `trueup trace`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The Application, as NAME or NAMESPACE/NAME
    #[arg(value_name = "APP")]
    pub app: String,
    /// The object, as KIND/NAME or KIND/NAMESPACE/NAME
    #[arg(value_name = "KIND/NAME")]
    pub object: String,
    /// The field, e.g. .spec.template.spec.containers[name="app"].image
    #[arg(value_name = "FIELD")]
    pub field: String,
}

/// Looks and prints. 0: traced; 2: not, with the reason.
pub async fn run(
    settings: &Settings,
    args: &Args,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> i32 {
    let field: FieldPath = match args.field.parse() {
        Ok(field) => field,
        Err(error) => {
            return fail(
                settings,
                out,
                err,
                args,
                &format!("the field cannot be read: {error}"),
                "write it as `trueup drift` does",
            );
        }
    };
    let parts: Vec<&str> = args.object.split('/').collect();
    let (kind, namespace, name) = match parts.as_slice() {
        [kind, name] => (*kind, None, *name),
        [kind, namespace, name] => (*kind, Some(*namespace), *name),
        _ => {
            return fail(
                settings,
                out,
                err,
                args,
                "the object is not of the form KIND/NAME",
                "",
            );
        }
    };
    let wired = match wire(settings, random_key(), no_log()).await {
        Ok(wired) => wired,
        Err(error) => {
            let error = from_read(&error);
            return fail(
                settings,
                out,
                err,
                args,
                &format!("cannot {}: {}", error.what, error.why),
                &error.hint,
            );
        }
    };
    let key = wired.reader.app_key(&args.app);
    let options = LookOptions {
        git_only: true,
        ..LookOptions::default()
    };
    let world = wired
        .reader
        .look(Some(std::slice::from_ref(&key)), options)
        .await;
    let Some(app) = world.applications.get(&key) else {
        return failed(settings, out, err, &world.errors);
    };
    match wired.reader.trace(app, kind, name, namespace, &field) {
        Ok(traced) => {
            match settings.output {
                Output::Json => output::json(
                    out,
                    &json!({
                        "apiVersion": trueup_core::API_VERSION,
                        "kind": "Provenance",
                        "source": {
                            "repo": traced.repo, "path": traced.path, "doc": traced.doc, "line": traced.line,
                            "start": traced.start, "end": traced.end,
                        },
                        "value": traced.value,
                    }),
                ),
                Output::Table => {
                    let head = ["REPOSITORY", "FILE", "LINE", "DOCUMENT", "BYTES", "VALUE"];
                    let row = vec![
                        traced.repo,
                        traced.path,
                        traced.line.to_string(),
                        traced.doc.to_string(),
                        format!("{}..{}", traced.start, traced.end),
                        text::value(&traced.value),
                    ];
                    output::table(out, 0, &head, &[row]);
                }
            }
            exit::DONE
        }
        Err(untraced) => {
            output::errors(err, &world.errors);
            fail(settings, out, err, args, &untraced.why, &untraced.hint)
        }
    }
}

fn fail(
    settings: &Settings,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
    args: &Args,
    why: &str,
    hint: &str,
) -> i32 {
    let what = format!("trace {} of {} in {}", args.field, args.object, args.app);
    failed(settings, out, err, &[ReportError::new(what, why, hint)])
}

/// The report of nothing but why.
fn failed(
    settings: &Settings,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
    errors: &[ReportError],
) -> i32 {
    if settings.output == Output::Json {
        let document = json!({
            "apiVersion": trueup_core::API_VERSION, "kind": "Provenance", "source": null, "errors": errors,
        });
        output::json(out, &document);
    }
    output::errors(err, errors);
    exit::ERROR
}
