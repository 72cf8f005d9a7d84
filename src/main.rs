//! `kubectl pg-upgrade`, the binary.

use std::process::ExitCode;

use clap::Parser;
use pg_upgrade::cli::{self, Cli};

fn main() -> ExitCode {
    let line = Cli::parse();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return ExitCode::FAILURE;
    };
    let exit = runtime.block_on(cli::run(line, &mut std::io::stdout()));
    ExitCode::from(exit as u8)
}
