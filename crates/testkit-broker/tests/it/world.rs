//! A broker with the fixture behind it as the system `depot`, and what the stories share.

use bailiwick_testkit_broker::{
    broker::Broker,
    fixture::{
        control::Control,
        http::HttpFixture,
        ledger::Ledger,
        protocol::{Protocol, Speaks},
    },
    tools::Tools,
};

/// The program of the fixture.
pub(crate) const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture-upstream");

/// What the fixture's tools are. `tidy_up` says that it only reads; nobody believes it.
const CLASSES: &str = r#"
[lookup]
class = "read"
resource = { type = "Item", id = "path" }
normalise = { path = "path" }
effect = { records = 1, reversible = true }

[lookup_many]
class = "read"
each = "paths"
resource = { type = "Item", id = "paths" }
normalise = { paths = "path" }
effect = { records = "len:paths", reversible = true }

[write_note]
class = "write"
resource = { type = "Note", id = "id" }
effect = { records = 1, reversible = true }

[delete_notes]
class = "delete"
each = "ids"
resource = { type = "Note", id = "ids" }
effect = { records = "len:ids", reversible = false }

[refund]
class = "write"
tags = ["billing"]
effect = { records = 1, reversible = false }

[contact]
class = "read"
effect = { records = 1, reversible = true }
facts = { touched = ["read:pii"] }
field_classes = { pii = ["email", "colleagues.*.email"] }

[send_mail]
class = "write"
tags = ["egress"]
normalise = { to = "email" }
effect = { records = 1, reversible = false }

[slow]
class = "read"
effect = { records = 0, reversible = true }

[misbehave]
class = "read"
effect = { records = 0, reversible = true }

[tidy_up]
class = "delete"
effect = { records = 1, reversible = false }
"#;

const CLERK: &str = r#"
purpose = "Keep the depot in order"
allow = ["depot:read", "depot:write", "depot:delete"]
"#;

const RULES: &str = r#"
@id("only-public-items")
@reason("only items under /public are for agents")
@help("use a path under /public")
forbid (principal is Bailiwick::Agent, action in Bailiwick::Action::"depot:read", resource is Depot::Item)
unless { resource.id like "/public/*" };

@id("no-mail-after-personal-data")
@reason("personal data was read before")
@help("send mail from a task of its own")
forbid (principal is Bailiwick::Agent, action in Bailiwick::Action::"egress", resource)
when { context.task.facts.contains(Bailiwick::Fact::"read:pii") };
"#;

/// A role that reads and writes for users.
pub(crate) const SUPPORT: &str = "purpose = \"Answer\"\nallow = [\"depot:read\", \"depot:write\"]\n";

/// What users of the group `staff` may do: the same.
pub(crate) const STAFF: &str = r#"
@id("staff-writes")
permit (
    principal in Bailiwick::Group::"staff",
    action in [Bailiwick::Action::"depot:read", Bailiwick::Action::"depot:write"],
    resource
);
"#;

/// A running broker with the fixture behind it.
pub(crate) struct Depot {
    pub(crate) broker: Broker,
    pub(crate) ledger: Ledger,
    pub(crate) control: Control,
    // Ends with the world.
    _upstream: Option<HttpFixture>,
}

impl Depot {
    /// The fixture as a child of the broker.
    pub(crate) fn stdio(tools: &Tools) -> Self {
        let broker = Broker::init(tools);
        let (ledger, control) = ledger_and_control(&broker);
        let (file, folder) = (broker.scratch().join("ledger"), broker.scratch().join("control"));
        let command = [FIXTURE, "--ledger", &file.to_string_lossy(), "--control", &folder.to_string_lossy()];
        broker.add_stdio("depot", &command, &[]);
        Self { broker, ledger, control, _upstream: None }.furnished()
    }

    /// The fixture behind a URL. Needs a runtime of several threads: commands of the broker block this one.
    pub(crate) async fn http(tools: &Tools, speaks: Speaks) -> Self {
        let broker = Broker::init(tools);
        let (ledger, control) = ledger_and_control(&broker);
        let upstream = HttpFixture::start(Protocol::new(speaks, control.clone()), ledger.clone()).await;
        broker.add_url("depot", &upstream.url());
        Self { broker, ledger, control, _upstream: Some(upstream) }.furnished()
    }

    fn furnished(mut self) -> Self {
        self.broker.classify("depot", CLASSES);
        self.broker.write("roles/clerk.toml", CLERK);
        self.broker.write("policies/organisation/depot.cedar", RULES);
        self.broker.publish();
        self.broker.serve_verified();
        self
    }
}

fn ledger_and_control(broker: &Broker) -> (Ledger, Control) {
    let folder = broker.scratch().join("control");
    std::fs::create_dir(&folder).unwrap();
    (Ledger::new(broker.scratch().join("ledger")), Control::new(folder))
}
