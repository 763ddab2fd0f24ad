//! The program `trueup`.

use std::sync::Arc;

fn main() -> std::process::ExitCode {
    trueup::start(Arc::new(trueup::journal::Calm))
}
