//! Installs the tools named in `pins.toml` under `target/`, each once per version.
//!
//! Never touches anything outside `target/`, except for Debian's `strace`, `chromium`,
//! `softhsm2` and `python3-venv` where they are missing and this runs as root.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    outcome::Failure,
    say,
    step::{cargo, command, show, works},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pins {
    cargo: BTreeMap<String, String>,
    node: Packages,
    clients: Packages,
    conformance: Packages,
    bench: Packages,
    python: BTreeMap<String, Packages>,
    browser: Packages,
    debian: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Packages {
    packages: Vec<String>,
}

fn pins(root: &Path) -> Result<Pins, Failure> {
    let text = fs::read_to_string(root.join("xtask/pins.toml"))?;
    toml::from_str(&text).map_err(|error| Failure::new(format!("xtask/pins.toml: {error}")))
}

/// Where the MCP servers and clients of the end-to-end tests live.
pub(crate) fn servers(root: &Path) -> PathBuf {
    root.join("target/ci-tools")
}

/// The path of one cargo tool at its pinned version, installing it if need be.
pub(crate) fn cargo_tool(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    // These run for seconds and compile for minutes: optimise for the latter.
    cargo_install(root, name, &[], "1")
}

/// The path of a program that is measured: optimised as its own users have it, without what it can do besides.
pub(crate) fn measured_tool(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    cargo_install(root, name, &["--no-default-features"], "3")
}

/// The version of a tool of cargo that is pinned.
pub(crate) fn version(root: &Path, name: &str) -> Result<String, Failure> {
    let version = pins(root)?.cargo.remove(name);
    version.ok_or_else(|| Failure::new(format!("`{name}` is not in xtask/pins.toml")))
}

fn cargo_install(root: &Path, name: &str, flags: &[&str], opt_level: &str) -> Result<PathBuf, Failure> {
    let version = &version(root, name)?;
    let folder = root.join("target/tools");
    let program = folder.join("bin").join(name);
    // Cargo's own list: not every program tells its version.
    let there = fs::read_to_string(folder.join(".crates.toml")).unwrap_or_default();
    if program.exists() && there.contains(&format!("\"{name} {version} (")) {
        return Ok(program);
    }
    say::err(format_args!("installing {name} {version}"));
    let place = folder.to_string_lossy().into_owned();
    let profile = [("OPT_LEVEL", opt_level), ("LTO", "off"), ("CODEGEN_UNITS", "16")]
        .map(|(k, v)| (format!("CARGO_PROFILE_RELEASE_{k}"), v));
    show(
        cargo(root, &["install", "--locked", "--quiet", "--force", name, "--version", version, "--root", &place])
            .args(flags)
            .envs(profile)
            // A folder of its own, so that the workspace's artefacts stay as they are.
            .env("CARGO_TARGET_DIR", folder.join("build"))
            .current_dir(env::temp_dir()),
    )?;
    fs::remove_dir_all(folder.join("build"))?;
    Ok(program)
}

/// Installs the MCP servers and clients that the end-to-end tests run.
fn install_servers(root: &Path) -> Result<(), Failure> {
    let pins = pins(root)?;
    let folder = servers(root);
    for (name, packages) in [("node", &pins.node), ("clients", &pins.clients), ("bench", &pins.bench)] {
        let place = folder.join(name);
        if !installed(&place, packages) {
            node_packages(root, &place, packages)?;
            mark(&place, packages)?;
        }
    }
    for (name, packages) in &pins.python {
        let place = folder.join(format!("python-{name}"));
        if !installed(&place, packages) {
            python_packages(root, &place, packages)?;
            mark(&place, packages)?;
        }
    }
    say::err(format_args!("the end-to-end tests' servers and clients are in {}", folder.display()));
    Ok(())
}

/// Sees that `strace` is there, which records and kills what the tests of crashes run.
pub(crate) fn install_strace(root: &Path) -> Result<(), Failure> {
    debian(root, "strace")
}

/// Sees that a real browser is there, and what drives it.
pub(crate) fn install_browser(root: &Path) -> Result<(), Failure> {
    let (wanted, place) = (pins(root)?.browser, servers(root).join("browser"));
    if !installed(&place, &wanted) {
        node_packages(root, &place, &wanted)?;
        mark(&place, &wanted)?;
    }
    debian(root, "chromium")
}

/// Everything that the end-to-end tests need besides the binary: servers and clients of others, a browser, a device in
/// software that holds agents' keys, and what sets a program's clock.
pub(crate) fn install_end_to_end(root: &Path) -> Result<(), Failure> {
    install_servers(root)?;
    install_browser(root)?;
    debian(root, "softhsm2-util")?;
    debian(root, "faketime")
}

/// Installs a program of Debian's unless it is there.
fn debian(root: &Path, program: &str) -> Result<(), Failure> {
    if works(&mut command(root, program, &["--version"])) {
        return Ok(());
    }
    let package = pins(root)?.debian.remove(program);
    let package = package.ok_or_else(|| Failure::new(format!("`{program}` is not in xtask/pins.toml")))?;
    say::err(format_args!("installing Debian's {package}"));
    // A fresh container has no lists of packages.
    show(&mut command(root, "apt-get", &["update", "--quiet"]))?;
    show(command(root, "apt-get", &["install", "--yes", "--no-install-recommends"]).arg(package))
}

/// Installs the conformance suite with its own Node.js, and says where.
pub(crate) fn install_conformance(root: &Path) -> Result<PathBuf, Failure> {
    let wanted = pins(root)?.conformance;
    let place = servers(root).join("conformance");
    if !installed(&place, &wanted) {
        node_packages(root, &place, &wanted)?;
        mark(&place, &wanted)?;
    }
    Ok(place)
}

/// Installs what tokens are measured beside, with its own Node.js, and says where.
pub(crate) fn install_bench(root: &Path) -> Result<PathBuf, Failure> {
    let wanted = pins(root)?.bench;
    let place = servers(root).join("bench");
    if !installed(&place, &wanted) {
        node_packages(root, &place, &wanted)?;
        mark(&place, &wanted)?;
    }
    Ok(place)
}

fn node_packages(root: &Path, place: &Path, wanted: &Packages) -> Result<(), Failure> {
    if !works(&mut command(root, "npm", &["--version"])) {
        return Err(Failure::new("npm is missing\nhint: install Node.js 20 or newer, which brings it"));
    }
    fs::create_dir_all(place)?;
    let mut install =
        command(root, "npm", &["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]);
    show(install.arg(place).args(&wanted.packages))
}

fn python_packages(root: &Path, place: &Path, wanted: &Packages) -> Result<(), Failure> {
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    let make = || show(command(root, "python3", &["-m", "venv"]).arg(place));
    if make().is_err() {
        say::err("python3 cannot make an environment: installing Debian's python3-venv");
        show(&mut command(root, "apt-get", &["install", "--yes", "--no-install-recommends", "python3-venv"]))?;
        make()?;
    }
    let pip = place.join("bin/pip");
    show(command(root, pip, &["install", "--quiet", "--disable-pip-version-check"]).args(&wanted.packages))
}

/// Whether the mark left after the last install names exactly what is wanted.
fn installed(place: &Path, wanted: &Packages) -> bool {
    fs::read_to_string(place.join("installed")).is_ok_and(|mark| mark == wanted.packages.join("\n"))
}

fn mark(place: &Path, wanted: &Packages) -> Result<(), Failure> {
    Ok(fs::write(place.join("installed"), wanted.packages.join("\n"))?)
}
