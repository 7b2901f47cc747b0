//! The policy enforcement point: takes calls off the wire, has them decided,
//! forwards what was permitted, filters what comes back.
//!
//! [`envelope`] parses one message once. [`mcp`] is the endpoint that clients
//! speak to; `phases` is the life of one call; [`upstream`] is the only place
//! from which bytes go to a system behind the broker.

mod denial;
pub mod envelope;
mod failure;
pub mod mcp;
mod permissions;
mod phases;
mod relay;
mod result;
pub mod upstream;
