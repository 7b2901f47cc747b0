//! A broker without wires: the use cases on a store in memory, real keys, a real
//! bundle, and a clock that only tests move. What tests of the listeners share.
//!
//! Three agents are registered in it: `reader` (tokens bound to its key),
//! `scripted` (plain bearer tokens allowed) and `gate` (an enforcement point
//! that may ask for decisions). One system is published: `files`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that is surprised must fail")]

pub mod bundle;
pub mod clock;
pub mod device;
pub mod issuer;
pub mod world;
