//! Annotations with meaning: gates, obligations, reasons. An annotation that
//! nobody knows refuses the bundle, since a misspelt one would silently do nothing.

use bailiwick_model::{
    decision::{Gate, Obligation},
    limits::{NAME_BYTES_MAX, TEXT_BYTES_MAX},
};

use crate::{finding::Finding, policies::SourcePolicy};

/// Seconds an approval lasts unless its gate says otherwise: long enough to act on, short enough to still be meant.
const GATE_EXPIRES_S: u64 = 30 * 60;
/// Seconds an approval lasts at most.
const GATE_EXPIRES_S_MAX: u64 = 24 * 60 * 60;
/// Approvers that one gate can ask for.
const QUORUM_MAX: u32 = 16;
/// Groups and people that one gate can name.
const APPROVERS_MAX: usize = 32;
/// Result bytes that an obligation can let through.
const RESULT_BYTES_MAX: u64 = 1 << 40;

const KNOWN: [&str; 8] = ["id", "approvers", "quorum", "step_up", "expires", "obligation", "reason", "help"];

/// What the annotations of one policy say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    /// Who can lift this forbid, and how.
    pub(crate) gate: Option<Gate>,
    /// What this permit obliges to.
    pub(crate) obligations: Vec<Obligation>,
    /// Why, in its author's words.
    pub(crate) reason: Option<String>,
    /// What would help, in its author's words.
    pub(crate) help: Option<String>,
}

/// Reads and checks the annotations of a policy.
pub(crate) fn read(policy: &SourcePolicy) -> Result<Annotations, Vec<Finding>> {
    let mut findings = Vec::new();
    for (key, _) in policy.policy.annotations() {
        if !KNOWN.contains(&key) {
            let known = KNOWN.map(|known| format!("`@{known}`")).join(", ");
            findings.push(
                policy
                    .error("annotation-unknown", format!("`@{key}` means nothing here"))
                    .with_help(format!("known are {known}")),
            );
        }
    }
    let gate = keep(gate(policy), &mut findings).flatten();
    let reason = keep(text(policy, "reason"), &mut findings).flatten();
    let help = keep(text(policy, "help"), &mut findings).flatten();
    let obligations = keep(obligations(policy), &mut findings).unwrap_or_default();
    if findings.is_empty() { Ok(Annotations { gate, obligations, reason, help }) } else { Err(findings) }
}

fn keep<T>(result: Result<T, Finding>, findings: &mut Vec<Finding>) -> Option<T> {
    result.map_err(|finding| findings.push(finding)).ok()
}

fn invalid(policy: &SourcePolicy, key: &str, value: &str, expected: &str) -> Finding {
    let value: String = value.chars().take(80).collect();
    policy.error("annotation-invalid", format!("`@{key}(\"{value}\")` is not valid")).with_help(expected.to_owned())
}

fn text(policy: &SourcePolicy, key: &'static str) -> Result<Option<String>, Finding> {
    let Some(text) = policy.policy.annotation(key) else { return Ok(None) };
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.contains(|c: char| c.is_control()) {
        return Err(invalid(policy, key, text, "write one line of text, 1024 bytes at most"));
    }
    Ok(Some(text.to_owned()))
}

fn gate(policy: &SourcePolicy) -> Result<Option<Gate>, Finding> {
    let annotation = |key: &str| policy.policy.annotation(key);
    let Some(approvers) = annotation("approvers") else {
        return match ["quorum", "step_up", "expires"].into_iter().find(|key| annotation(key).is_some()) {
            Some(key) => Err(policy
                .error(
                    "annotation-without-approvers",
                    format!("`@{key}` says how a gate is lifted, and nobody can lift it"),
                )
                .with_help("add `@approvers(\"group:…\")`, or remove it")),
            None => Ok(None),
        };
    };
    if !policy.is_forbid() {
        return Err(policy
            .error("annotation-misplaced", "`@approvers` stands on a permit, and approval never widens")
            .with_help("put it on the forbid that an approval lifts"));
    }
    let names: Vec<String> = approvers.split([',', ';']).map(|name| name.trim().to_owned()).collect();
    if names.len() > APPROVERS_MAX || !names.iter().all(|name| is_approver(name)) {
        return Err(invalid(
            policy,
            "approvers",
            approvers,
            "write `group:<name>` or `user:<id>`, separated by commas",
        ));
    }
    let quorum = match annotation("quorum") {
        None => 1,
        Some(text) => text
            .parse()
            .ok()
            .filter(|quorum| (1..=QUORUM_MAX).contains(quorum))
            .ok_or_else(|| invalid(policy, "quorum", text, "write a number from 1 to 16"))?,
    };
    let step_up = match annotation("step_up") {
        None => None,
        Some("passkey") => Some(String::from("passkey")),
        Some(text) => return Err(invalid(policy, "step_up", text, "write `passkey`")),
    };
    let expires_s = match annotation("expires") {
        None => GATE_EXPIRES_S,
        Some(text) => {
            duration_s(text).filter(|seconds| (1..=GATE_EXPIRES_S_MAX).contains(seconds)).ok_or_else(|| {
                invalid(policy, "expires", text, "write a time such as `90s`, `30m` or `4h`, `24h` at most")
            })?
        }
    };
    Ok(Some(Gate { rule: policy.id.clone(), approvers: names, quorum, step_up, expires_s }))
}

fn is_approver(text: &str) -> bool {
    let graphic = |id: &str| {
        !id.is_empty()
            && id.len() <= NAME_BYTES_MAX
            && id.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\,;".contains(&b))
    };
    text.strip_prefix("group:").or_else(|| text.strip_prefix("user:")).is_some_and(graphic)
}

fn duration_s(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn obligations(policy: &SourcePolicy) -> Result<Vec<Obligation>, Finding> {
    let Some(text) = policy.policy.annotation("obligation") else { return Ok(Vec::new()) };
    if policy.is_forbid() {
        return Err(policy
            .error("annotation-misplaced", "`@obligation` stands on a forbid, and what is denied obliges to nothing")
            .with_help("put it on the permit"));
    }
    let expected = "write `capture_payload`, `result_bytes_max=<bytes>` or `mask=<field class>`, separated by `;`";
    text.split(';')
        .map(|one| obligation(one.trim()).ok_or_else(|| invalid(policy, "obligation", one, expected)))
        .collect()
}

fn obligation(text: &str) -> Option<Obligation> {
    match text.split_once('=') {
        None if text == "capture_payload" => Some(Obligation::CapturePayload),
        Some(("result_bytes_max", bytes)) => {
            let bytes = bytes.parse().ok().filter(|bytes| (1..=RESULT_BYTES_MAX).contains(bytes))?;
            Some(Obligation::ResultBytesMax { bytes })
        }
        Some(("mask", class)) => {
            let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
            (!class.is_empty() && class.len() <= NAME_BYTES_MAX && class.bytes().all(word))
                .then(|| Obligation::Mask { field_class: class.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(duration_s("90s"), Some(90));
        assert_eq!(duration_s("30m"), Some(1_800));
        assert_eq!(duration_s("4h"), Some(14_400));
        for bad in ["", "m", "30", "1d", "-1m", "1h30m", "99999999999999999999h"] {
            assert_eq!(duration_s(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn obligations_are_a_closed_list() {
        assert_eq!(obligation("result_bytes_max=65536"), Some(Obligation::ResultBytesMax { bytes: 65_536 }));
        assert_eq!(obligation("mask=pii"), Some(Obligation::Mask { field_class: "pii".into() }));
        for bad in ["notify", "mask=", "mask=P", "result_bytes_max=0", "result_bytes_max=-1", "capture_payload=yes"] {
            assert_eq!(obligation(bad), None, "{bad}");
        }
    }
}
