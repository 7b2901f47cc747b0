//! The binary `bailiwick`: reads arguments, calls the API through the operators' door, prints.
//!
//! No operation here that the API lacks: a running broker is reached over its Unix socket, and without one the same
//! API is served in this process.

mod agent;
mod arguments;
mod commands;
mod connect;
mod door;
mod exit;
mod output;
mod sample;

use clap::Parser as _;

use crate::{arguments::Arguments, exit::Exit, output::Output};

/// Made for threads that allocate at once, which the C library's is not, musl's least of all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` and `--version` arrive here too; clap knows which stream each belongs on.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let output = Output::new(arguments.output, arguments.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(&format!("cannot start: {error}"), None);
            return Exit::Failed.into();
        }
    };
    let exit = match runtime.block_on(commands::run(&arguments, &output)) {
        Ok(exit) => exit,
        Err(failure) => {
            output.error(&failure.message, failure.hint.as_deref());
            failure.exit
        }
    };
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    exit.into()
}
