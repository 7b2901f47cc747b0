//! Load for the release binary and for what it is measured beside: `bailiwick-bench SUBJECT [--smoke]`.
//!
//! Prints one figure of one round per line, as JSON; `cargo xtask bench` takes the medians and knows the budgets. It
//! knows the wire and the command line, and the store only to fill it; it must never stand in for what it measures.
#![expect(clippy::print_stdout, reason = "it prints what it measures")]
#![expect(clippy::panic, clippy::expect_used, reason = "a measurement that cannot be set up stops, and says why")]

mod authzen;
mod catalogue;
mod figure;
mod gateway;
mod load;
mod plan;
mod process;
mod scale;
mod site;
mod tokens;
mod upstream;
mod wire;

use std::process::ExitCode;

use plan::Plan;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let plan = if words.iter().any(|word| word == "--smoke") { Plan::SMOKE } else { Plan::FULL };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match words.first().map(String::as_str) {
        Some("authzen") => runtime.block_on(authzen::measure(&plan)),
        Some("gateway") => runtime.block_on(gateway::measure(&plan)),
        Some("tokens") => runtime.block_on(tokens::measure(&plan)),
        Some("scale") => runtime.block_on(scale::measure(&plan)),
        Some("catalogue") => runtime.block_on(catalogue::measure(&plan)),
        // Not a subject: the MCP server behind all of them, as a process of its own.
        Some("upstream") => {
            let tools = words.get(1).and_then(|count| count.parse().ok()).unwrap_or(1);
            runtime.block_on(upstream::serve(tools));
        }
        _ => return ExitCode::from(64),
    }
    ExitCode::SUCCESS
}
