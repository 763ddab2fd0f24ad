//! Every folder of `tests/yaml-cases` at the top of the repository: the edit must give the expected bytes.

use std::path::{Path, PathBuf};

use trueup_core::source::edit::{EditError, edit};
use trueup_core::source::ops::parse_ops;

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/yaml-cases");
    let mut found: Vec<PathBuf> = std::fs::read_dir(root)
        .expect("the cases are in the repository")
        .map(|e| e.expect("readable").path())
        .filter(|p| p.is_dir())
        .collect();
    found.sort();
    found
}

fn run(folder: &Path) -> Result<(), String> {
    let read = |name: &str| std::fs::read(folder.join(name)).map_err(|e| format!("{name}: {e}"));
    let ops = String::from_utf8(read("op.json")?).map_err(|e| e.to_string())?;
    let refuse = serde_json::from_str::<serde_json::Value>(&ops).map_err(|e| e.to_string())?["expect"]
        == "refuse";
    let input = read("input.yaml")?;
    let edits = parse_ops(&ops).map_err(|e| e.to_string())?;
    match edit(&input, &edits) {
        Err(EditError::Refused { .. }) if refuse => Ok(()),
        Err(e) => Err(e.to_string()),
        Ok(_) if refuse => Err("edited where it must refuse".to_owned()),
        Ok(out) => {
            let mut expected = vec![read("expected.yaml")?];
            expected.extend((2..10).filter_map(|n| read(&format!("expected-{n}.yaml")).ok()));
            if expected.contains(&out) {
                return Ok(());
            }
            Err(similar::TextDiff::from_lines(
                &*String::from_utf8_lossy(&expected[0]),
                &*String::from_utf8_lossy(&out),
            )
            .unified_diff()
            .header("expected", "got")
            .to_string())
        }
    }
}

#[test]
fn every_case_gives_the_expected_bytes() {
    let folders = folders();
    assert!(folders.len() >= 81, "only {} cases found", folders.len());
    let failures: Vec<String> = folders
        .iter()
        .filter_map(|f| {
            let name = f
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            run(f).err().map(|why| format!("## {name}\n{why}"))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases fail:\n{}",
        failures.len(),
        folders.len(),
        failures.join("\n")
    );
}
