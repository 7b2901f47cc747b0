//! The programming interfaces besides MCP: decisions for enforcement points
//! that stand elsewhere ([`authzen`], AuthZEN Authorization API 1.0, over the
//! network, and [`hook`], for clients on this machine) and administration
//! ([`admin`], on the local socket only).
//!
//! Every route has a file of its own: its shapes, its refusals, its handler.
//! Handlers read the wire, call one use case of the engine, and write the wire;
//! they decide nothing.

pub mod admin;
pub mod authzen;
mod door;
mod extract;
pub mod hook;
pub mod openapi;
pub mod operator;
mod scim;

pub use self::{
    admin::{Administration, Facts},
    authzen::Authzen,
    door::closed_over_network,
    hook::Hook,
    operator::Operator,
    scim::Scim,
};

#[cfg(test)]
mod tests;
