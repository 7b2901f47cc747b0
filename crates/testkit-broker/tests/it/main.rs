//! End to end: the real binary, real servers behind it, real clients before it. One module per story.
//!
//! `cargo xtask e2e` builds and installs what these need. Without it, each says loudly that it did not run.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is tests; clippy knows only the functions that are marked so"
)]

mod world;

mod accounts;
mod apart;
mod arguments;
mod attacks;
mod attesters;
mod authzen;
mod bundles;
mod certificates;
mod clients;
mod company;
mod consent;
mod crashes;
mod crowds;
mod custody;
mod definitions;
mod delegation;
mod details;
mod directory;
mod documents;
mod doors;
mod environments;
mod evidence;
mod failing_disk;
mod federation;
mod first_run;
mod fixture_itself;
mod hardware;
mod hook;
mod hostile_agent;
mod hostile_upstreams;
mod lists;
mod lives;
mod masks;
mod observation;
mod people;
mod pipelines;
mod policy_clients;
mod probes;
mod profile;
mod real_claude_code;
mod real_everything;
mod real_filesystem;
mod real_git;
mod real_memory;
mod real_sqlite;
mod rotation;
mod stolen;
mod suggestions;
mod tasks;
mod third_parties;
mod tls;
mod tokens;
mod why;
mod workloads;
