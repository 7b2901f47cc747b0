//! The policy enforcement point: takes calls off the wire, has them decided,
//! forwards what was permitted, filters what comes back.
//!
//! [`envelope`] parses one message once. [`upstream`] is the only place from
//! which bytes go to a system behind the broker.

pub mod envelope;
pub mod upstream;
