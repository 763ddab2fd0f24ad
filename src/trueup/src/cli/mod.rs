//! One file per subcommand, and what they share: tables, JSON, exit codes.

pub mod doctor;
pub mod drift;
pub mod output;
pub mod watchdog;
