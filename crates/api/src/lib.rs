//! The two programming interfaces besides MCP: decisions for enforcement points
//! that stand elsewhere ([`authzen`], AuthZEN Authorization API 1.0, over the
//! network) and administration ([`admin`], on the local socket only).
//!
//! Every route has a file of its own: its shapes, its refusals, its handler.
//! Handlers read the wire, call one use case of the engine, and write the wire;
//! they decide nothing.

pub mod admin;
pub mod authzen;
mod door;
mod extract;
pub mod openapi;
pub mod operator;

pub use self::{
    admin::{Administration, Facts},
    authzen::Authzen,
    door::closed_over_network,
    operator::Operator,
};

#[cfg(test)]
mod tests;
