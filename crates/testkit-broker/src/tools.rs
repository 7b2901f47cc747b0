//! Where the binary is, and where the servers and clients of others are.
//!
//! In CI (`BAILIWICK_CI`) whatever a story needs must be there. Elsewhere a
//! story that lacks something says loudly that it did not run.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::broker::LIBFAKETIME;

/// Where Debian has the library of SoftHSM, a device in software.
pub const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// Where Debian has the browser.
const CHROMIUM: &str = "/usr/bin/chromium";

/// What a story needs besides this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The release binary: `cargo build --release -p bailiwick-cli`.
    Broker,
    /// Node.js and its packages: `cargo xtask tools`.
    Node,
    /// Claude Code, which is one of Node.js's packages and brings a program of its own.
    ClaudeCode,
    /// Python and its packages: `cargo xtask tools`.
    Python,
    /// OAuth clients of others, in Node.js and in Python: `cargo xtask tools`.
    Clients,
    /// An authorization server of others, on a Node.js that it supports: `cargo xtask tools`.
    Provider,
    /// SoftHSM: `cargo xtask tools`.
    Device,
    /// What sets a program's clock: `cargo xtask tools`.
    Clock,
    /// The compliance tester of others for SCIM: `cargo xtask tools`.
    Scim,
    /// Chromium, and Node.js with what drives it: `cargo xtask tools`.
    Browser,
}

/// Everything that was asked for is there.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
    installed: PathBuf,
    broker: PathBuf,
}

/// Finds what a story needs. `None` means that it cannot run here, which has been said; in CI it panics instead.
pub fn ready(needs: &[Need]) -> Option<Tools> {
    let tools = Tools::find();
    let missing: Vec<String> = needs.iter().filter_map(|need| tools.lacks(*need)).collect();
    if missing.is_empty() {
        return Some(tools);
    }
    let missing = missing.join("; ");
    assert!(env::var_os("BAILIWICK_CI").is_none(), "in CI everything must be there, but: {missing}");
    loudly(&format!("SKIPPED, nothing was tested: {missing}"));
    None
}

/// Writes a line to standard error past the lint that keeps programs from printing.
fn loudly(line: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "\n!!!! {line}\n"));
}

impl Tools {
    fn find() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().expect("the workspace is where it was built");
        let place = |variable: &str, usual: &str| env::var_os(variable).map_or_else(|| root.join(usual), PathBuf::from);
        Self {
            installed: place("BAILIWICK_CI_TOOLS", "target/ci-tools"),
            broker: place("BAILIWICK_BIN", "target/release/bailiwick"),
            root,
        }
    }

    fn lacks(&self, need: Need) -> Option<String> {
        let (path, hint) = match need {
            Need::Broker => (self.broker.clone(), "cargo build --release -p bailiwick-cli"),
            Need::Node => (self.installed.join("node/installed"), "cargo xtask tools"),
            Need::ClaudeCode => (self.claude_code(), "cargo xtask tools"),
            Need::Python => (self.installed.join("python-current/installed"), "cargo xtask tools"),
            Need::Clients if self.installed.join("clients/installed").exists() => {
                (self.installed.join("python-oauth/installed"), "cargo xtask tools")
            }
            Need::Clients => (self.installed.join("clients/installed"), "cargo xtask tools"),
            Need::Provider => (self.installed.join("bench/installed"), "cargo xtask tools"),
            Need::Device => (PathBuf::from(SOFTHSM), "cargo xtask tools"),
            Need::Clock => (PathBuf::from(LIBFAKETIME), "cargo xtask tools"),
            Need::Scim => (self.installed.join("python-scim/installed"), "cargo xtask tools"),
            Need::Browser if Path::new(CHROMIUM).exists() => {
                (self.installed.join("browser/installed"), "cargo xtask tools")
            }
            Need::Browser => (PathBuf::from(CHROMIUM), "cargo xtask tools"),
        };
        (!path.exists()).then(|| format!("{} is missing (`{hint}`)", path.display()))
    }

    /// The workspace's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The binary `bailiwick`.
    pub fn broker(&self) -> &Path {
        &self.broker
    }

    /// The folder `node_modules` of the pinned packages.
    pub fn node_modules(&self) -> PathBuf {
        self.installed.join("node/node_modules")
    }

    /// A server of the MCP project: `filesystem`, `memory` or `everything`.
    pub fn node_server(&self, name: &str) -> String {
        let path = self.node_modules().join(format!("@modelcontextprotocol/server-{name}/dist/index.js"));
        path.to_string_lossy().into_owned()
    }

    /// The folder `node_modules` of the OAuth clients.
    pub fn client_modules(&self) -> PathBuf {
        self.installed.join("clients/node_modules")
    }

    /// The folder `node_modules` of the authorization server, and of its Node.js.
    pub fn provider_modules(&self) -> PathBuf {
        self.installed.join("bench/node_modules")
    }

    /// The folder `node_modules` of what drives the browser.
    pub fn browser_modules(&self) -> PathBuf {
        self.installed.join("browser/node_modules")
    }

    /// The program of Claude Code.
    pub fn claude_code(&self) -> PathBuf {
        self.node_modules().join(".bin/claude")
    }

    /// A program of one of the Python environments, such as `current` and `mcp-server-git`.
    pub fn python(&self, environment: &str, program: &str) -> String {
        let path = self.installed.join(format!("python-{environment}/bin")).join(program);
        path.to_string_lossy().into_owned()
    }
}
