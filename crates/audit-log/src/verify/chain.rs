//! One replica's chain: contiguous numbers, each entry bound to the one before.

use super::{Finding, Findings, Seen};
use crate::leaf::{CHAIN_START, ReplicaId};

/// Names gaps, moves, doubles and broken links of a chain whose entries are given in log order.
pub(super) fn check(replica: ReplicaId, mut seen: Vec<Seen>, findings: &mut Findings) {
    let mut latest = None;
    for entry in &seen {
        if latest.is_some_and(|latest| entry.sequence < latest) {
            findings.push(Finding::Reordered { at: entry.at, replica, sequence: entry.sequence });
        }
        latest = latest.max(Some(entry.sequence));
    }
    // From here on in the order of the chain; copies keep the order of the log.
    seen.sort_by_key(|entry| entry.sequence);
    if let Some(first) = seen.first() {
        if first.sequence > 0 {
            findings.push(Finding::Removed { replica, first: 0, last: first.sequence - 1 });
        } else if first.previous != CHAIN_START {
            findings.push(Finding::Altered { at: first.at, replica, sequence: 0, or_next: false });
        }
    }
    // Broken links in a row, as the entries before and after each of them.
    let mut broken: Vec<(&Seen, &Seen)> = Vec::new();
    for pair in seen.windows(2) {
        let [before, after] = pair else { continue };
        let link = link(before, after);
        if link == Link::Broken {
            broken.push((before, after));
            continue;
        }
        blame(replica, &std::mem::take(&mut broken), false, findings);
        if link == Link::Gap {
            findings.push(Finding::Removed { replica, first: before.sequence + 1, last: after.sequence - 1 });
        } else if link == Link::Double {
            let (first_at, second_at) = (before.at, after.at);
            findings.push(Finding::Forked { replica, sequence: before.sequence, first_at, second_at });
        }
    }
    blame(replica, &broken, true, findings);
}

/// Names the altered entries behind a row of broken links. An entry between two
/// of them was altered. A single one tells that the entry before it was, for the
/// entry after it is bound by its own successor, if it has one.
fn blame(replica: ReplicaId, broken: &[(&Seen, &Seen)], at_end: bool, findings: &mut Findings) {
    if let [(before, _)] = broken {
        let Seen { at, sequence, .. } = **before;
        findings.push(Finding::Altered { at, replica, sequence, or_next: at_end });
    }
    for (_, between) in broken.iter().take(broken.len().saturating_sub(1)) {
        let Seen { at, sequence, .. } = **between;
        findings.push(Finding::Altered { at, replica, sequence, or_next: false });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Good,
    Broken,
    Gap,
    Double,
}

fn link(before: &Seen, after: &Seen) -> Link {
    if after.sequence == before.sequence {
        Link::Double
    } else if after.sequence - before.sequence > 1 {
        Link::Gap
    } else if after.previous == before.hash {
        Link::Good
    } else {
        Link::Broken
    }
}
