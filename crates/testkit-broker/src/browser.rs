//! A real browser with a virtual authenticator, driven by a script, or step by step while other things happen.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::tools::Tools;

/// A browser that stays open between its steps.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Browser {
    /// Opens one.
    pub fn open(tools: &Tools) -> Self {
        let mut command = command(&json!({ "puppeteer": puppeteer(tools) }));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("Node.js runs");
        let told = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, told }
    }

    /// Takes one step; see `tests/clients/browser.mjs` for what there are.
    pub fn step(&mut self, step: &Value) -> Value {
        let steps = self.child.stdin.as_mut().expect("a pipe");
        writeln!(steps, "{step}").expect("the browser listens");
        let mut line = String::new();
        self.told.read_line(&mut line).expect("the browser answers");
        let Ok(told) = serde_json::from_str::<Value>(&line) else {
            let mut said = String::new();
            drop(self.child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said)));
            panic!("the browser failed at {step}:\n{said}");
        };
        assert_eq!(told.get("complaints"), Some(&json!([])), "pages break no policy of theirs and throw nothing");
        told.get("result").cloned().unwrap_or_default()
    }

    /// The text of the page.
    pub fn text(&mut self) -> String {
        self.step(&json!(["text"])).as_str().expect("a text").to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // At the end of its input it closes the browser, which a kill would leave behind.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

fn puppeteer(tools: &Tools) -> std::path::PathBuf {
    tools.browser_modules().join("puppeteer-core/lib/esm/puppeteer/puppeteer-core.js")
}

fn command(plan: &Value) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/browser.mjs");
    let mut command = Command::new("node");
    command.arg(script).arg(plan.to_string());
    command
}

/// Runs the browser; see `tests/clients/browser.mjs` for what the steps are. One result for each.
pub fn browse(tools: &Tools, steps: &Value) -> Vec<Value> {
    let mut command = command(&json!({ "puppeteer": puppeteer(tools), "steps": steps }));
    let output = command.stdin(Stdio::null()).output().expect("Node.js runs");
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the browser failed:\n{said}");
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("no JSON ({error}):\n{told}\n{said}"));
    let complaints = told.get("complaints").cloned().unwrap_or_default();
    assert_eq!(complaints, json!([]), "pages break no policy of theirs and throw nothing");
    told.get("results").and_then(Value::as_array).cloned().expect("results")
}
