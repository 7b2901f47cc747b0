//! The commands of the docs, as scripts: the fenced blocks marked `sh test` of
//! one page, in order, run as one shell session in a scratch folder.

use std::{fs, path::Path, process::Command};

use crate::{ports::free_port, tools::Tools};

/// The port that the docs name, and that a test replaces by a free one.
const DOCUMENTED_PORT: &str = "8420";

/// All blocks marked `sh test` of a page.
pub fn tested_blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match (&mut open, line.trim_end()) {
            (None, "```sh test") => open = Some(String::new()),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

/// One script of a page's blocks: stops at the first failure, waits for a server that it starts, ends it at the end.
pub fn script(page: &str, port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}");
    let mut script = format!(
        "set -euo pipefail\nexport BAILIWICK_URL={url}\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"
    );
    for line in tested_blocks(page).concat().replace(DOCUMENTED_PORT, &port.to_string()).lines() {
        script.push_str(line);
        script.push('\n');
        if line.contains("bailiwick serve") && line.ends_with('&') {
            // It listens, then its other door answers, then it has compared its systems with the pinned definitions.
            // Not the doors alone: a command that comes before the server would take the database from it.
            let listens = format!("(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null");
            let verified = "bailiwick systems list --output json 2>/dev/null | grep -q '\"verified_at\": \"'";
            for condition in [listens.as_str(), verified] {
                script.push_str(&format!("for _ in $(seq 100); do {condition} && break; sleep 0.1; done\n"));
            }
        }
    }
    script
}

/// Runs the blocks of `page` (relative to the root) in a scratch folder with the binary on the path, and gives what
/// they printed. Panics if one fails, or if there is none.
pub fn run(tools: &Tools, page: &str) -> String {
    let text = fs::read_to_string(tools.root().join(page)).expect("the page is there");
    assert!(!tested_blocks(&text).is_empty(), "{page} has no block marked `sh test`");
    let folder = tempfile::tempdir().expect("a scratch folder");
    std::os::unix::fs::symlink(tools.node_modules(), folder.path().join("node_modules")).expect("a link");
    let binary = tools.broker().parent().unwrap_or_else(|| Path::new("."));
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-c", &script(&text, free_port())])
        .current_dir(folder.path())
        .env("PATH", path)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("bash runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the commands of {page} failed:\n{told}\n{said}");
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_run_in_order() {
        let page = "```sh\nno\n```\n```sh test\none\n```\ntext\n```toml\nno\n```\n```sh test\ntwo\nthree\n```\n";
        assert_eq!(tested_blocks(page), ["one\n", "two\nthree\n"]);
    }

    #[test]
    fn a_server_in_the_background_is_waited_for_on_a_port_of_its_own() {
        let text = script("```sh test\nbailiwick serve --listen 127.0.0.1:8420 &\nnext\n```\n", 4711);
        assert!(text.contains("--listen 127.0.0.1:4711 &\nfor _ in"), "{text}");
        assert!(text.contains("done\nnext\n"), "{text}");
    }
}
