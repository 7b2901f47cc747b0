//! The fixture as a program, for brokers that start their upstreams themselves:
//! `fixture-upstream --ledger FILE --control FOLDER [--speaks handshake|stateless|both]`.

use std::process::ExitCode;

use bailiwick_testkit_broker::fixture::{
    control::Control,
    ledger::Ledger,
    protocol::{Protocol, Speaks},
    stdio,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (mut ledger, mut control, mut speaks) = (None, None, Speaks::Both);
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        match (flag.as_str(), value.as_str()) {
            ("--ledger", file) => ledger = Some(Ledger::new(file)),
            ("--control", folder) => control = Some(Control::new(folder)),
            ("--speaks", "handshake") => speaks = Speaks::Handshake,
            ("--speaks", "stateless") => speaks = Speaks::Stateless,
            ("--speaks", "both") => speaks = Speaks::Both,
            _ => return ExitCode::from(64),
        }
    }
    let (Some(ledger), Some(control)) = (ledger, control) else { return ExitCode::from(64) };
    stdio::serve(Protocol::new(speaks, control), ledger).await;
    ExitCode::SUCCESS
}
