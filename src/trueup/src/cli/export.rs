//! `trueup export` and `trueup verify`.

use std::io::Write;

use serde_json::json;
use trueup_core::{ids::IncidentId, transcript};

use super::{
    args::{ExportArgs, VerifyArgs},
    complain, give_up,
    output::exit,
    print_json,
};
use crate::{
    app,
    engine::Trouble,
    journal,
    settings::{Output, Settings},
};

/// The incident named, the only open one, or the one that was written last.
pub fn chosen(settings: &Settings, id: Option<&str>) -> Result<IncidentId, Trouble> {
    if id.is_some() || settings.incident.is_some() || app::open_incidents(settings)?.len() == 1 {
        return app::which(settings, id);
    }
    let newest = journal::list(&settings.state_dir)?
        .into_iter()
        .max_by_key(|incident| {
            let path = settings
                .state_dir
                .join("incidents")
                .join(incident.as_str())
                .join("journal.jsonl");
            path.metadata().and_then(|meta| meta.modified()).ok()
        });
    newest.map_or_else(|| app::which(settings, None), Ok)
}

/// The format asked for; with `-o json` nothing but JSON reaches stdout.
fn format(asked: Option<&str>, output: Output) -> Result<&str, Trouble> {
    match (asked, output) {
        (None | Some("json"), Output::Json) => Ok("json"),
        (Some(asked), Output::Json) => Err(Trouble::failed(
            "export",
            format!("--format {asked} is no JSON, and -o json asks for nothing else"),
            "leave one of them out",
        )),
        (asked, Output::Table) => Ok(asked.unwrap_or("md")),
    }
}

pub fn run(settings: &Settings, args: &ExportArgs) -> i32 {
    let made = format(args.format.as_deref(), settings.output).and_then(|format| {
        let incident = chosen(settings, args.id.as_deref())?;
        let (text, _) = crate::export::transcript(&settings.state_dir, &incident, format)?;
        Ok(match format {
            "json" => super::output::inert(&text),
            _ => text,
        })
    });
    match made {
        Ok(text) => {
            let mut out = super::output::stdout();
            let _ = out.write_all(text.as_bytes());
            if !text.ends_with('\n') {
                let _ = out.write_all(b"\n");
            }
            0
        }
        Err(trouble) => give_up(settings, &trouble),
    }
}

/// 0: the chain is whole; 1: it is broken; 2: the file cannot be read.
pub fn verify(settings: &Settings, args: &VerifyArgs) -> i32 {
    let bytes = match std::fs::read(&args.file) {
        Ok(bytes) => bytes,
        Err(error) => {
            complain(
                &format!("cannot read {}: {error}", args.file.display()),
                "name a JSON export or a journal",
            );
            return 2;
        }
    };
    let checked = check(args, &bytes);
    match checked {
        Ok(Whole { records, head, end }) => {
            if settings.output == Output::Json {
                print_json(&json!({
                    "apiVersion": trueup_core::API_VERSION, "kind": "Verification",
                    "whole": true, "records": records, "head": head,
                    "end": end.map(|(at, what)| json!({"time": at, "what": what})),
                }));
            } else {
                let out = &mut super::output::stdout();
                super::output::say(out, &format!("whole: {records} records, head {head}"));
                // A chain that was cut between two records is whole: whoever reads this sees whether more is to be expected.
                if let Some((at, what)) = end {
                    let at = at.strftime("%Y-%m-%d %H:%M:%S");
                    super::output::say(out, &format!("ends with: {what}, at {at} UTC"));
                }
            }
            0
        }
        Err((code, why)) => {
            if settings.output == Output::Json {
                print_json(&json!({
                    "apiVersion": trueup_core::API_VERSION, "kind": "Verification", "whole": false, "why": why,
                }));
            }
            complain(
                &why,
                if code == exit::ERROR {
                    "`trueup export --format json` makes a file that can be checked"
                } else {
                    "nothing in this file can be relied on from that place on"
                },
            );
            code
        }
    }
}

/// A chain without a gap, as far as it goes.
#[derive(Debug)]
struct Whole {
    records: usize,
    head: String,
    end: Option<(jiff::Timestamp, String)>,
}

fn check(args: &VerifyArgs, bytes: &[u8]) -> Result<Whole, (i32, String)> {
    if bytes.is_empty() {
        let why = format!("{} is empty: it holds no record", args.file.display());
        return Err((exit::ERROR, why));
    }
    let export = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.trim_start().starts_with('{'));
    if let Some(text) = export {
        return match transcript::verify(text) {
            Ok(verified) => Ok(Whole {
                records: verified.records,
                head: verified.head,
                end: verified.end,
            }),
            Err(error @ transcript::Broken::NotAnExport(_)) => Err((2, error.to_string())),
            Err(error) => Err((1, error.to_string())),
        };
    }
    if !bytes.first().is_some_and(u8::is_ascii_hexdigit) {
        let why = "is neither a JSON export nor a journal; Markdown and HTML carry the head of the chain only";
        return Err((exit::ERROR, format!("{} {why}", args.file.display())));
    }
    let lines = journal::verify_lines(&args.file, bytes)
        .map_err(|error| (exit::SOMETHING, error.to_string()))?;
    let whole: usize = lines
        .iter()
        .map(|line| line.hash.len() + 1 + line.raw.len() + 1)
        .sum();
    if whole < bytes.len() {
        return Err((
            1,
            format!(
                "the last line is torn or edited, after record {}",
                lines.len()
            ),
        ));
    }
    let head = lines
        .last()
        .map(|line| line.hash.clone())
        .unwrap_or_default();
    Ok(Whole {
        records: lines.len(),
        head,
        end: transcript::end(lines.iter().map(|line| &line.record)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_record_is_not_whole() {
        let args = VerifyArgs {
            file: "journal.jsonl".into(),
        };
        for (bytes, code, says) in [
            (&b""[..], 2, "is empty"),
            (b"\n", 2, "neither a JSON export nor a journal"),
            (b"hello\n", 2, "neither a JSON export nor a journal"),
            (b"0000 {", 1, "torn"),
        ] {
            let (ended, why) = check(&args, bytes).unwrap_err();
            assert_eq!(ended, code, "{why}");
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn the_global_option_is_heard() {
        assert_eq!(format(None, Output::Table).unwrap(), "md");
        assert_eq!(format(Some("html"), Output::Table).unwrap(), "html");
        for asked in [None, Some("json")] {
            assert_eq!(format(asked, Output::Json).unwrap(), "json");
        }
        assert_eq!(format(Some("md"), Output::Json).unwrap_err().exit(), 2);
    }
}
