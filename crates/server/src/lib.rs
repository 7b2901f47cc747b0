//! One process: configuration, wiring, listeners, background work, shutdown.
//!
//! The only crate that knows all others. Nothing here decides anything about a call.

mod any_holder;
pub mod background;
pub mod care;
mod clients;
pub mod config;
pub mod init;
pub mod listen;
pub mod observe;
mod outgoing;
pub mod router;
pub mod serve;
mod sign_in;
pub mod socket;
pub mod starter;
mod trace;
pub mod upstreams;
pub mod wiring;
