//! A real browser with a virtual authenticator, driven by a script.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::tools::Tools;

/// Runs the browser; see `tests/clients/browser.mjs` for what the steps are. One result for each.
pub fn browse(tools: &Tools, steps: &Value) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/browser.mjs");
    let puppeteer = tools.browser_modules().join("puppeteer-core/lib/esm/puppeteer/puppeteer-core.js");
    let plan = json!({ "puppeteer": puppeteer, "steps": steps });
    let mut command = Command::new("node");
    let output = command.arg(script).arg(plan.to_string()).stdin(Stdio::null()).output().expect("Node.js runs");
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the browser failed:\n{said}");
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("no JSON ({error}):\n{told}\n{said}"));
    let complaints = told.get("complaints").cloned().unwrap_or_default();
    assert_eq!(complaints, json!([]), "pages break no policy of theirs and throw nothing");
    told.get("results").and_then(Value::as_array).cloned().expect("results")
}
