//! Which tables there are, with their columns, and what is asked of which figure: the budgets of the design.

/// How a figure is written.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    /// A whole number.
    Whole,
    /// Two decimals.
    Fine,
    /// One decimal, and how many times.
    Times,
}

/// A column.
pub(super) struct Column {
    pub(super) figure: &'static str,
    pub(super) heading: &'static str,
    pub(super) unit: Unit,
}

/// What is asked of one figure.
pub(super) struct Budget {
    pub(super) row: &'static str,
    pub(super) figure: &'static str,
    pub(super) asked: Asked,
    /// What it is about, for the list below the table.
    pub(super) what: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum Asked {
    AtLeast(f64),
    AtMost(f64),
}

/// A table.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The program that measures it.
    pub(super) program: &'static str,
    pub(super) title: &'static str,
    pub(super) first: &'static str,
    pub(super) columns: &'static [Column],
    pub(super) budgets: &'static [Budget],
}

const fn whole(figure: &'static str, heading: &'static str) -> Column {
    Column { figure, heading, unit: Unit::Whole }
}

const fn fine(figure: &'static str, heading: &'static str) -> Column {
    Column { figure, heading, unit: Unit::Fine }
}

const fn times(figure: &'static str, heading: &'static str) -> Column {
    Column { figure, heading, unit: Unit::Times }
}

const fn at_least(row: &'static str, figure: &'static str, bound: f64, what: &'static str) -> Budget {
    Budget { row, figure, asked: Asked::AtLeast(bound), what }
}

const fn at_most(row: &'static str, figure: &'static str, bound: f64, what: &'static str) -> Budget {
    Budget { row, figure, asked: Asked::AtMost(bound), what }
}

pub(super) const TABLES: [Table; 10] = [
    Table {
        name: "evaluation",
        program: "decision",
        title: "One evaluation, request prebuilt, beside stock Cedar",
        first: "policies",
        columns: &[fine("stock_us", "stock Cedar, µs"), fine("ours_us", "indexed, µs"), times("ratio", "times faster")],
        budgets: &[
            at_most("1,000 policies", "ours_us", 15.0, "µs, p50 at 1,000 policies"),
            at_most("10,000 policies", "ours_us", 40.0, "µs, p50 at 10,000 policies"),
        ],
    },
    Table {
        name: "decision",
        program: "decision",
        title: "The whole decision from raw arguments",
        first: "policies",
        columns: &[fine("p50_us", "p50, µs"), fine("p99_us", "p99, µs")],
        budgets: &[
            at_most("10,000 policies", "p50_us", 150.0, "µs, p50 at 10,000 policies"),
            at_most("10,000 policies", "p99_us", 1_000.0, "µs, p99 at 10,000 policies"),
        ],
    },
    Table {
        name: "intents",
        program: "intents",
        title: "Durable intents",
        first: "at once",
        columns: &[
            whole("rate", "intents/s"),
            whole("commits", "commits/s"),
            fine("p50_ms", "p50, ms"),
            fine("p99_ms", "p99, ms"),
            fine("fsync_ms", "one fsync, ms"),
        ],
        budgets: &[
            at_least("64 callers", "rate", 30_000.0, "intents/s at 64 callers"),
            at_most("1 caller", "above_fsync_ms", 0.3, "ms, one caller's p50 above one fsync"),
        ],
    },
    Table {
        name: "gateway",
        program: "gateway",
        title: "MCP tool calls",
        first: "through what",
        columns: &[
            whole("rate", "calls/s"),
            fine("p50_ms", "p50, ms"),
            fine("p99_ms", "p99, ms"),
            fine("added_ms", "p50 above direct, ms"),
            fine("fsync_ms", "one fsync, ms"),
        ],
        budgets: &[
            at_most("bailiwick, 1 connection", "beyond_fsync_ms", 0.35, "ms, p50 added beyond one fsync"),
            at_least("bailiwick, 16 connections", "rate", 5_000.0, "calls/s at 16 connections"),
        ],
    },
    Table {
        name: "authzen",
        program: "authzen",
        title: "AuthZEN evaluations over HTTP, connections kept",
        first: "asked how",
        columns: &[whole("rate", "evaluations/s"), fine("p50_ms", "p50, ms"), fine("p99_ms", "p99, ms")],
        budgets: &[
            at_least("bearer token, 16 connections", "rate", 15_000.0, "evaluations/s with a bearer token"),
            at_least("token and proof, 16 connections", "rate", 15_000.0, "evaluations/s with token and proof"),
            at_most("token and proof, 1,000 a second", "p99_ms", 5.0, "ms, p99 at 1,000 a second"),
        ],
    },
    Table {
        name: "tokens",
        program: "tokens",
        title: "Access tokens: private_key_jwt → ES256 JWT",
        first: "issued by",
        columns: &[
            whole("per_cpu_s", "tokens per CPU-second"),
            whole("rate", "tokens/s"),
            fine("p50_ms", "p50, ms"),
            times("ratio", "times the peer, per CPU-second"),
        ],
        budgets: &[at_least("bailiwick", "ratio", 5.0, "times the tokens of oidc-provider per CPU-second")],
    },
    Table {
        name: "bound",
        program: "tokens",
        title: "The same, bound to a key: a DPoP proof under the server's nonce",
        first: "issued by",
        columns: &[
            whole("per_cpu_s", "tokens per CPU-second"),
            whole("rate", "tokens/s"),
            fine("p50_ms", "p50, ms"),
            times("ratio", "times the peer, per CPU-second"),
        ],
        budgets: &[at_least("bailiwick", "ratio", 6.0, "times the bound tokens of oidc-provider per CPU-second")],
    },
    Table {
        name: "introspection",
        program: "tokens",
        title: "Introspection by private_key_jwt",
        first: "answered by",
        columns: &[
            whole("per_cpu_s", "answers per CPU-second"),
            whole("rate", "answers/s"),
            fine("p50_ms", "p50, ms"),
            times("ratio", "times the peer, per CPU-second"),
        ],
        budgets: &[at_least("bailiwick", "ratio", 5.0, "times the answers of oidc-provider per CPU-second")],
    },
    Table {
        name: "scale",
        program: "scale",
        title: "Memory and start",
        first: "registered",
        columns: &[whole("memory_mb", "memory at rest, MB"), whole("start_ms", "start until ready, ms")],
        budgets: &[
            at_most("no agents", "memory_mb", 50.0, "MB at rest"),
            at_most("100,000 agents", "memory_mb", 500.0, "MB with 100,000 agents"),
            at_most("no agents", "start_ms", 300.0, "ms, start until ready"),
        ],
    },
    Table {
        name: "catalogue",
        program: "catalogue",
        title: "A system of 1,000 tools",
        first: "size",
        columns: &[
            fine("add_s", "`systems add`, s"),
            fine("publish_s", "`policy publish`, s"),
            fine("first_s", "token and first list, s"),
            fine("total_s", "together, s"),
            fine("list_ms", "a list later, ms"),
        ],
        budgets: &[at_most("1,000 tools", "total_s", 5.0, "s until the list is served")],
    },
];
