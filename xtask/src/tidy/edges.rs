//! The crate map of ARCHITECTURE.md, held against cargo's metadata: which of our
//! crates each may use, and which crates of others it must not touch.
//!
//! Dev-dependencies are exempt: a test may use whatever shows that the code is right.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::Deserialize;

use super::Finding;
use crate::{
    outcome::Failure,
    step::{cargo, read},
};

const ASYNC: &[&str] = &["tokio", "futures", "async-std"];
const SERVERS: &[&str] = &["axum", "hyper", "hyper-util", "tower", "tower-http"];
const CLIENTS: &[&str] = &["reqwest", "ureq"];
const DRIVERS: &[&str] = &["rusqlite", "tokio-postgres", "sqlx", "deadpool-postgres"];
const CEDAR: &[&str] = &["cedar-policy", "cedar-policy-core"];
const CHANCE: &[&str] = &["rand", "getrandom", "fastrand"];
const HASHES_AND_SIGNATURES: &[&str] = &["aws-lc-rs", "p256", "ed25519-dalek"];

/// One crate of ours.
struct Room {
    name: &'static str,
    /// Our crates that it may depend on.
    may: &'static [&'static str],
    /// Crates of others that it must not depend on.
    must_not: &'static [&'static [&'static str]],
    /// Whether `must_not` also holds for everything that its dependencies bring.
    pure: bool,
}

/// The outer rooms that fetch what others name: keys, documents, tokens.
const FETCHING: &[&str] = &["model", "pdp", "audit-log", "oauth", "ports", "engine", "web", "fetch"];
/// The outer room that speaks SCIM.
const PROVISIONED: &[&str] = &["model", "pdp", "audit-log", "oauth", "ports", "engine", "web", "scim"];
const PURE_NOT: &[&[&str]] = &[ASYNC, SERVERS, CLIENTS, DRIVERS];

const fn room(name: &'static str, may: &'static [&'static str], must_not: &'static [&'static [&'static str]]) -> Room {
    Room { name, may, must_not, pure: false }
}

/// The map. `testkit-broker` and `xtask` are named so that a new crate cannot slip in unnamed.
const ROOMS: &[Room] = &[
    Room { pure: true, ..room("model", &[], &[ASYNC, SERVERS, CLIENTS, DRIVERS, CEDAR]) },
    Room { pure: true, ..room("pdp", &["model"], PURE_NOT) },
    Room { pure: true, ..room("audit-log", &["model"], &[ASYNC, SERVERS, CLIENTS, DRIVERS, CEDAR]) },
    Room { pure: true, ..room("oauth", &["model"], &[ASYNC, SERVERS, CLIENTS, DRIVERS, CEDAR]) },
    Room { pure: true, ..room("scim", &["model"], &[ASYNC, SERVERS, CLIENTS, DRIVERS, CEDAR]) },
    room("ports", &["model", "audit-log"], &[CEDAR, SERVERS, CLIENTS, DRIVERS]),
    room("engine", &["model", "pdp", "audit-log", "oauth", "ports"], &[SERVERS, CLIENTS, DRIVERS, CEDAR, CHANCE]),
    room("store", &["model", "audit-log", "oauth", "ports"], &[SERVERS, CEDAR, CLIENTS]),
    room("fetch", &["model", "oauth"], &[SERVERS, CEDAR, DRIVERS]),
    room("keys", &["model", "audit-log", "oauth", "ports"], &[SERVERS, CEDAR, DRIVERS]),
    room("web", &["model", "oauth", "ports", "engine"], &[DRIVERS, CEDAR]),
    room("authz-server", FETCHING, &[DRIVERS, CEDAR, CLIENTS]),
    room("gateway", FETCHING, &[DRIVERS, CEDAR]),
    room("api", PROVISIONED, &[DRIVERS, CEDAR, CLIENTS]),
    room("console", FETCHING, &[DRIVERS, CEDAR, CLIENTS]),
    room(
        "server",
        &[
            "model",
            "pdp",
            "audit-log",
            "oauth",
            "ports",
            "engine",
            "keys",
            "store",
            "web",
            "fetch",
            "authz-server",
            "gateway",
            "api",
            "console",
        ],
        &[CEDAR, DRIVERS],
    ),
    room("cli", &["server", "keys", "ports", "pdp", "audit-log", "oauth", "model"], &[CEDAR]),
    room("testkit", &["model", "ports", "pdp", "audit-log"], &[CEDAR]),
    room(
        "testkit-engine",
        &["model", "pdp", "audit-log", "oauth", "ports", "engine", "keys", "store"],
        &[SERVERS, CEDAR],
    ),
    room(
        "testkit-broker",
        &["testkit", "model", "ports", "pdp", "audit-log", "oauth", "keys", "engine", "web"],
        &[CEDAR],
    ),
    room("testkit-crash", &[], &[CEDAR, DRIVERS]),
    room("testkit-mcp", &[], &[CEDAR, DRIVERS]),
    room("fuzz", &["model", "pdp", "audit-log", "oauth", "keys", "gateway", "server", "scim"], &[CEDAR, DRIVERS]),
    room("bench", &["testkit", "testkit-broker", "model", "ports", "audit-log", "keys", "store"], &[CEDAR, DRIVERS]),
    room("xtask", &[], &[]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// Reads cargo's metadata and holds every crate of ours against the map.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>, Failure> {
    let told = read(&mut cargo(root, &["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Metadata =
        serde_json::from_str(&told).map_err(|error| Failure::new(format!("cargo metadata: {error}")))?;
    let graph = Graph::new(&metadata);
    let members: BTreeSet<&str> = metadata.workspace_members.iter().map(String::as_str).collect();
    let packages = metadata.packages.iter().filter(|package| members.contains(package.id.as_str()));
    let mut findings: Vec<Finding> = packages.flat_map(|package| check_package(package, &graph)).collect();
    findings.extend(purity(root));
    Ok(findings)
}

/// What `crates/model/clippy.toml` forbids (clocks, chance, files, sockets, environment), every pure room forbids.
fn purity(root: &Path) -> Vec<Finding> {
    let words = |name: &str| fs::read_to_string(root.join(clippy_of(name))).unwrap_or_default();
    let model = words("model");
    let forbidden: Vec<&str> = model.lines().filter(|line| line.trim_start().starts_with("{ path = ")).collect();
    if forbidden.is_empty() {
        return vec![Finding::error(&clippy_of("model"), 0, "a pure crate forbids clocks, chance, files and sockets")];
    }
    let mut findings = Vec::new();
    for room in ROOMS.iter().filter(|room| room.pure) {
        let own = words(room.name);
        let missing = forbidden.iter().filter(|line| !own.contains(line.trim()));
        findings.extend(missing.map(|line| {
            Finding::error(&clippy_of(room.name), 0, format!("a pure crate also forbids {}", line.trim()))
        }));
    }
    findings
}

fn clippy_of(room: &str) -> String {
    format!("crates/{room}/clippy.toml")
}

fn check_package(package: &Package, graph: &Graph<'_>) -> Vec<Finding> {
    let name = short(&package.name);
    let manifest = if name == "xtask" { "xtask/Cargo.toml".to_owned() } else { format!("crates/{name}/Cargo.toml") };
    let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
        let message = format!("`{name}` is not on the map: add it to ARCHITECTURE.md and xtask/src/tidy/edges.rs");
        return vec![Finding::error(&manifest, 0, message)];
    };
    let direct = package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
    let mut wrong: Vec<String> = direct.filter_map(|dependency| refused(room, &dependency.name)).collect();
    if room.pure {
        let brought = graph.reachable(&package.id).into_iter().filter(|other| forbidden(room, other));
        wrong.extend(brought.map(|other| format!("`{other}` comes in through a dependency, and `{name}` is pure")));
    }
    wrong.sort();
    wrong.dedup();
    wrong.into_iter().map(|message| Finding::error(&manifest, 0, message)).collect()
}

fn refused(room: &Room, dependency: &str) -> Option<String> {
    let ours = dependency.starts_with("bailiwick-");
    if ours && !room.may.contains(&short(dependency)) {
        return Some(format!("`{}` may not depend on `{dependency}`", room.name));
    }
    forbidden(room, dependency).then(|| format!("`{}` must not touch `{dependency}`", room.name))
}

fn forbidden(room: &Room, dependency: &str) -> bool {
    room.must_not.iter().any(|group| group.contains(&dependency))
        || (room.name == "model" && HASHES_AND_SIGNATURES.contains(&dependency))
}

fn short(package: &str) -> &str {
    package.strip_prefix("bailiwick-").unwrap_or(package)
}

/// What each package brings, dev-dependencies left out.
struct Graph<'a> {
    edges: BTreeMap<&'a str, Vec<&'a str>>,
    names: BTreeMap<&'a str, &'a str>,
}

impl<'a> Graph<'a> {
    fn new(metadata: &'a Metadata) -> Self {
        let normal = |dependency: &&NodeDependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        let edges = metadata.resolve.nodes.iter().map(|node| {
            let onward = node.deps.iter().filter(normal).map(|dependency| dependency.pkg.as_str());
            (node.id.as_str(), onward.collect())
        });
        let names = metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str()));
        Self { edges: edges.collect(), names: names.collect() }
    }

    /// The names of everything that `package` links, itself not counted.
    fn reachable(&self, package: &'a str) -> BTreeSet<&'a str> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> = self.edges.get(package).cloned().unwrap_or_default();
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                next.extend(self.edges.get(id).into_iter().flatten());
            }
        }
        seen.into_iter().filter_map(|id| self.names.get(id).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_of(name: &str) -> &'static Room {
        ROOMS.iter().find(|room| room.name == name).expect("the map names it")
    }

    #[test]
    fn arrows_point_inward_only() {
        assert_eq!(refused(room_of("engine"), "bailiwick-pdp"), None);
        assert!(refused(room_of("pdp"), "bailiwick-engine").is_some());
        assert!(refused(room_of("gateway"), "bailiwick-api").is_some(), "outer rooms never import each other");
        assert!(refused(room_of("engine"), "bailiwick-testkit").is_some(), "testkit is for tests");
    }

    #[test]
    fn rooms_do_not_touch_what_the_map_forbids() {
        assert!(refused(room_of("model"), "tokio").is_some());
        assert!(refused(room_of("gateway"), "rusqlite").is_some());
        assert!(refused(room_of("api"), "cedar-policy").is_some());
        assert_eq!(refused(room_of("pdp"), "cedar-policy"), None);
    }

    #[test]
    fn what_a_dependency_brings_counts_too() {
        let metadata: Metadata = serde_json::from_str(
            r#"{
              "workspace_members": ["m"],
              "packages": [
                {"id": "m", "name": "bailiwick-model", "dependencies": [{"name": "innocent", "kind": null}]},
                {"id": "i", "name": "innocent", "dependencies": []},
                {"id": "t", "name": "tokio", "dependencies": []}
              ],
              "resolve": {"nodes": [
                {"id": "m", "deps": [{"pkg": "i", "dep_kinds": [{"kind": null}]}]},
                {"id": "i", "deps": [{"pkg": "t", "dep_kinds": [{"kind": null}]}]},
                {"id": "t", "deps": []}
              ]}
            }"#,
        )
        .expect("metadata");
        let package = metadata.packages.first().expect("a package");
        let findings = check_package(package, &Graph::new(&metadata));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].message.contains("`tokio` comes in"), "{findings:?}");
    }
}
