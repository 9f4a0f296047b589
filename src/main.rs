//! The `hallpass` program.

use std::process::ExitCode;

/// An issuance makes some hundreds of small allocations; this allocator takes about a tenth off its cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hallpass::cli::run()
}
