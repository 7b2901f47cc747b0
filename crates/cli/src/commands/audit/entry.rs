//! Entries of the evidence as text: one line each for `tail`, all fields for `show`. Decides nothing about them.

use serde_json::Value;

use crate::output::{Output, clean, fields, text};

/// Lines under the day that they are of, so that each has room for what happened.
#[derive(Default)]
pub(super) struct Lines {
    day: String,
}

impl Lines {
    /// One line an entry; for programs one JSON object a line, so that either can be followed.
    pub(super) fn print(&mut self, entries: &[Value], output: &Output) {
        for entry in entries {
            if output.is_json() {
                output.data(&entry.to_string());
                continue;
            }
            let at = text(entry, "/entry/at");
            let (day, time) = at.split_once('T').unwrap_or(("", &at));
            if day != self.day {
                day.clone_into(&mut self.day);
                output.data(&format!("{day} (UTC)"));
            }
            let time: String = time.chars().take(8).collect();
            let (id, kind) = (text(entry, "/entry/id"), text(entry, "/entry/kind"));
            output.data(&format!("{time}  {id:<37}  {kind:<17}  {}", summary(entry)));
        }
    }
}

/// Who did what, and what came of it.
fn summary(entry: &Value) -> String {
    let body =
        |name: &str| entry.pointer(&format!("/entry/body/{name}")).map(|_| text(entry, &format!("/entry/body/{name}")));
    let mut words: Vec<String> = Vec::new();
    words.extend(body("agent"));
    // What was called stands in `action`; a change names its thing in one of the others.
    words.extend(["action", "task", "scope", "secret", "opened"].into_iter().find_map(body));
    if let Some(bundle) = body("bundle").filter(|_| body("change").is_some()) {
        words.push(bundle.chars().take(19).collect());
    }
    let outcome = ["decision", "status", "change", "error", "alert"].into_iter().find_map(body);
    // What policy alone would have decided is worth a line where it differs from what was done.
    let observed = body("observed").filter(|would_be| would_be != "would_allow");
    let outcome = match (outcome, observed) {
        (Some(outcome), Some(would_be)) if outcome == "allow" => Some(format!("{outcome}, observed, {would_be}")),
        (outcome, _) => outcome,
    };
    let why = ["reasons", "observed_reasons", "policies", "why"]
        .into_iter()
        .find_map(|name| body(name).filter(|why| why != "-"));
    let mut line = words.join(" ");
    if let Some(outcome) = outcome {
        line = if line.is_empty() { outcome } else { format!("{line}: {outcome}") };
    }
    if let Some(why) = why {
        line = format!("{line} ({why})");
    }
    if let Some(by) = body("by") {
        line = format!("{line} by {by}");
    }
    line.trim_start().to_owned()
}

/// All of one entry.
pub(super) fn one(entry: &Value) -> String {
    let mut rows = vec![
        ("kind", text(entry, "/entry/kind")),
        ("id", text(entry, "/entry/id")),
        ("at", text(entry, "/entry/at")),
        ("sequence", text(entry, "/sequence")),
        ("log index", text(entry, "/index")),
    ];
    let members = |pointer: &str| entry.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
    let body = members("/entry/body");
    rows.extend(body.keys().map(|name| (name.as_str(), text(entry, &format!("/entry/body/{name}")))));
    let commitments = members("/entry/commitments");
    let opened = members("/opened");
    let sealed: Vec<(String, String)> = commitments
        .keys()
        .map(|name| match opened.get(name).and_then(|field| field.get("value")).and_then(Value::as_str) {
            Some(value) => (format!("{name} (opened)"), clean(value)),
            None => {
                // What stayed closed in an opening was never kept: there is its commitment and no more.
                let how = if entry.get("opened").is_some() { "committed, not kept" } else { "sealed" };
                (format!("{name} ({how})"), text(entry, &format!("/entry/commitments/{name}")))
            }
        })
        .collect();
    rows.extend(sealed.iter().map(|(name, value)| (name.as_str(), value.clone())));
    fields(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_never_kept_is_not_called_sealed() {
        let mut entry = json!({"entry": {"commitments": {"arguments": "sha256:1", "result": "sha256:2"}}});
        assert_eq!(one(&entry).matches("(sealed)").count(), 2);
        entry["opened"] = json!({"arguments": {"salt": "00", "value": "{}"}, "result": {"salt": "01", "value": null}});
        let page = one(&entry);
        assert!(page.contains("arguments (opened)") && page.contains("result (committed, not kept)"), "{page}");
        assert!(!page.contains("(sealed)"), "{page}");
    }

    #[test]
    fn an_entry_says_who_what_and_why() {
        let check = |body: Value, expected: &str| {
            assert_eq!(summary(&json!({"entry": {"body": body}})), expected);
        };
        check(
            json!({"agent": "a", "action": "f.w", "decision": "deny", "policies": ["p"], "reasons": ["forbidden", "task_pin"]}),
            "a f.w: deny (forbidden, task_pin)",
        );
        check(
            json!({"agent": "a", "action": "f.r", "decision": "allow", "policies": ["p", "q"]}),
            "a f.r: allow (p, q)",
        );
        check(json!({"agent": "a", "action": "f.r", "status": "succeeded"}), "a f.r: succeeded");
        check(
            json!({"agent": "a", "action": "f.w", "decision": "allow", "observed": "would_deny",
                "observed_reasons": ["no_permit"], "policies": []}),
            "a f.w: allow, observed, would_deny (no_permit)",
        );
        check(
            json!({"agent": "a", "action": "f.w", "decision": "allow", "observed": "would_allow",
                "observed_reasons": [], "policies": ["p"]}),
            "a f.w: allow (p)",
        );
        check(json!({"scope": "agent:a", "change": "entered", "by": "operator:o"}), "agent:a: entered by operator:o");
        check(json!({"error": "invalid_client", "why": "unknown key"}), "invalid_client (unknown key)");
        check(json!({"agent": "a", "scope": ["f:read", "f:write"]}), "a f:read, f:write");
        check(json!({}), "");
    }
}
