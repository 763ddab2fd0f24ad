//! trueup: bring the cluster and Git back into agreement, step by checked step.
//!
//! `cli` parses and dispatches, `app` composes; `engine` decides and writes, `adapters` stand behind `ports`; `journal`
//! keeps what happened.

pub mod adapters;
pub mod app;
pub mod cli;
pub mod engine;
pub mod export;
pub mod journal;
pub mod ports;
pub mod settings;
pub mod tui;
pub mod wiring;

use std::{process::ExitCode, sync::Arc};

/// Runs the program with the boundaries that crash tests listen to.
pub fn start(boundaries: Arc<dyn journal::Boundaries>) -> ExitCode {
    // Two TLS providers in one process make the first client panic: this one is chosen before any is made.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            cli::complain(
                &format!("cannot start: {error}"),
                "the system has no threads or files left for this process",
            );
            return ExitCode::from(2);
        }
    };
    let code = runtime.block_on(cli::main(boundaries));
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    ExitCode::from(u8::try_from(code).unwrap_or(2))
}
