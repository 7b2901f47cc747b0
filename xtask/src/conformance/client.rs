//! The suite's client mode: which of its scenarios our upstream client plays,
//! and why it does not play the others. A scenario that is neither fails the run.

use crate::outcome::Failure;

/// One scenario at one revision, and how many of its checks have to pass. None may fail.
pub(super) struct Played {
    pub(super) revision: &'static str,
    pub(super) scenario: &'static str,
    pub(super) passed: u64,
}

const fn played(revision: &'static str, scenario: &'static str, passed: u64) -> Played {
    Played { revision, scenario, passed }
}

/// All that are played.
pub(super) const PLAYED: [Played; 12] = [
    played("2025-11-25", "initialize", 3),
    played("2025-11-25", "tools_call", 2),
    played("2025-11-25", "sse-retry", 3),
    played("2025-11-25", "json-schema-2020-12-preservation", 9),
    played("2026-07-28", "tools_call", 2),
    played("2026-07-28", "request-metadata", 5),
    played("2026-07-28", "sep-2322-client-request-state", 5),
    played("2026-07-28", "http-standard-headers", 11),
    played("2026-07-28", "http-custom-headers", 18),
    played("2026-07-28", "http-invalid-tool-headers", 12),
    played("2026-07-28", "json-schema-ref-no-deref", 1),
    played("2026-07-28", "json-schema-2020-12-preservation", 9),
];

/// Scenarios that are not played: how their names begin, and why.
const LEFT_OUT: [(&str, &str); 2] = [
    (
        "auth/",
        "their client finds its server by discovery and registers itself there; the broker's own clients are \
         registered at servers whose endpoints an operator wrote down",
    ),
    (
        "elicitation-sep1034-client-defaults",
        "its server asks on the session's own stream, not on the call's; a question that belongs to no permitted call \
         is answered by nobody",
    ),
];

/// The scenarios of one revision that are left out, by reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) revision: &'static str,
    pub(super) prefix: &'static str,
    pub(super) count: usize,
    pub(super) why: &'static str,
}

/// Compares what the suite names for a revision with what is played; what is neither played nor left out is an error.
pub(super) fn left_out(revision: &'static str, listing: &str) -> Result<Vec<LeftOut>, Failure> {
    let named = client_scenarios(listing);
    let is_played = |name: &str| PLAYED.iter().any(|played| played.revision == revision && played.scenario == name);
    let known = |name: &str| LEFT_OUT.iter().any(|(prefix, _)| name.starts_with(prefix));
    if let Some(name) = named.iter().find(|name| !is_played(name) && !known(name)) {
        return Err(Failure::new(format!(
            "the suite has a client scenario `{name}` for {revision} that is not played"
        )));
    }
    let missing =
        PLAYED.iter().filter(|played| played.revision == revision).find(|played| !named.contains(&played.scenario));
    if let Some(Played { scenario, .. }) = missing {
        return Err(Failure::new(format!("the suite has no client scenario `{scenario}` for {revision} any more")));
    }
    let counted = LEFT_OUT.iter().map(|(prefix, why)| LeftOut {
        revision,
        prefix,
        count: named.iter().filter(|name| name.starts_with(prefix)).count(),
        why,
    });
    Ok(counted.filter(|left| left.count > 0).collect())
}

/// The names in the answer to `list --requirements`: those under the client's heading, and those marked as the
/// client's further down.
fn client_scenarios(listing: &str) -> Vec<&str> {
    let mut under_heading = false;
    let mut names = Vec::new();
    for line in listing.lines() {
        match line.trim_start().strip_prefix("- ") {
            None if !line.trim().is_empty() => under_heading = line.starts_with("Client scenarios"),
            None => {}
            Some(name) => match name.split_once(" [") {
                Some((name, "client]")) => names.push(name),
                Some(_) => {}
                None if under_heading => names.push(name),
                None => {}
            },
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "Required for 2025-11-25 (48 scenarios):\n\nServer scenarios (test against a server):\n  - ping\n\n\
                           Client scenarios (test against a client):\n  - initialize\n  - auth/basic\n\nRun and reported, \
                           but never scored:\n  extension (2):\n    - auth/dpop [client]\n    - tasks [server]\n";

    #[test]
    fn the_listing_names_the_clients_scenarios() {
        assert_eq!(client_scenarios(LISTING), ["initialize", "auth/basic", "auth/dpop"]);
    }

    #[test]
    fn nothing_is_left_out_without_a_reason() {
        let names = |revision: &str| {
            let all = PLAYED.iter().filter(|played| played.revision == revision);
            all.map(|played| format!("  - {}\n", played.scenario)).collect::<String>()
        };
        let listing = |more: &str| format!("Client scenarios:\n{}{more}", names("2025-11-25"));
        assert_eq!(left_out("2025-11-25", &listing("")).unwrap(), []);
        let left = left_out("2025-11-25", &listing("  - auth/a\n  - auth/b\n")).unwrap();
        assert_eq!((left.len(), left[0].count, left[0].prefix), (1, 2, "auth/"));
        assert!(left_out("2025-11-25", &listing("  - new-one\n")).is_err());
        assert!(left_out("2025-11-25", LISTING).is_err(), "one that is played is gone");
    }
}
