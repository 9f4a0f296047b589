//! The `hallpass` program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    hallpass::cli::run().await
}
