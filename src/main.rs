//! The `hallpass` program.

use std::{num::NonZero, process::ExitCode, thread};

/// An issuance makes some hundreds of small allocations; this allocator takes about a tenth off its cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Half of the cores answer requests. The others are the database's thread's and the kernel's: with more workers the
/// runtime wakes one for what another has at hand, and an issuance costs a tenth more.
#[expect(clippy::expect_used, reason = "there is nothing to do without a runtime")]
fn main() -> ExitCode {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cores.div_ceil(2)).enable_all().build();
    runtime.expect("a runtime").block_on(hallpass::cli::run())
}
