//! The broker that is measured, with the upstream behind it as the system `depot`.

use std::{fmt::Write as _, process::Command};

use bailiwick_testkit_broker::{
    broker::Broker,
    tools::{Need, Tools, ready},
};

use crate::process::Running;

/// The system.
pub(crate) const SYSTEM: &str = "depot";
/// The role of who calls.
pub(crate) const ROLE: &str = "clerk";

const CLERK: &str = "purpose = \"Keep the depot in order\"\nallow = [\"depot:read\"]\n";

/// A rule that has to be looked at for each call, beside the ones that come with an installation.
const RULES: &str = r#"
@id("no-internal-records")
@reason("internal records are not for agents")
@help("ask for another record")
forbid (principal is Bailiwick::Agent, action == Bailiwick::Action::"depot.tool_0", resource)
when { context.input.id like "internal-*" };
"#;

/// Finds the binary; without one there is nothing to measure.
pub(crate) fn tools() -> Tools {
    ready(&[Need::Broker]).expect("the binary `bailiwick`: see BAILIWICK_BIN")
}

/// Starts the upstream as a process of its own.
pub(crate) fn upstream(tools: usize) -> (Running, String) {
    let program = std::env::current_exe().expect("this program has a path");
    Running::telling(Command::new(program).args(["upstream", &tools.to_string()])).expect("the upstream starts")
}

/// A running broker with everything in place.
pub(crate) struct Site {
    pub(crate) broker: Broker,
    /// Where the upstream is.
    pub(crate) upstream: String,
    _upstream: Running,
}

impl Site {
    pub(crate) fn new() -> Self {
        let (running, url) = upstream(1);
        let mut broker = Broker::init(&tools());
        broker.add_url(SYSTEM, &url);
        describe(&broker, 1);
        broker.publish();
        broker.serve_verified();
        Self { broker, upstream: url, _upstream: running }
    }
}

/// Says what the tools are and who may use them; nothing is published yet.
pub(crate) fn describe(broker: &Broker, tools: usize) {
    let mut classes = String::new();
    for number in 0..tools {
        let _ = writeln!(classes, "[tool_{number}]\nclass = \"read\"\neffect = {{ records = 1, reversible = true }}");
    }
    broker.classify(SYSTEM, &classes);
    broker.write(&format!("roles/{ROLE}.toml"), CLERK);
    broker.write("policies/organisation/depot.cedar", RULES);
}
