//! Crashes: what a disk may hold after a power cut, and system calls that fail or end the process.
//!
//! A program runs under `strace`, which writes down every operation on its
//! files. The [`disk`] model replays them up to some moment and then answers what
//! may be left: what was synced is there, the rest is there in part, in any
//! order, or not at all. Knows nothing of databases, and the programs under test
//! know nothing of it: there is no hook in them.
//!
//! | module | holds |
//! |---|---|
//! | [`strace`] | the tool: recording a run, and faults of chosen system calls |
//! | [`recording`] | its output as operations on files, with marks of the program between them |
//! | [`file`] | one file: what is durable of it, and what is pending |
//! | [`disk`] | files and their names |
//! | [`surviving`] | which pending changes a power cut leaves |
//! | [`explore`] | many distinct states of one recording |
//! | [`points`] | the moments at which something more became persistent |
//! | [`chance`] | seeded chance |
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a harness fails the test that uses it, and says with what"
)]

pub mod chance;
pub mod disk;
pub mod explore;
pub mod file;
pub mod points;
pub mod recording;
pub mod strace;
pub mod surviving;
