//! COAZ: which AuthZEN questions an MCP message stands for (the OpenID AuthZEN drafts *COAZ* and *COAZ-MCP*). Each
//! method has a [default](defaults) mapping; a tool can have another one, written by an operator or pinned with the
//! tool's definition and adopted by an operator. It only narrows: the call itself is decided on too, and everything has
//! to be allowed. Whatever cannot be worked out denies.

pub mod defaults;
pub mod expression;
pub mod mapping;
mod operations;

pub use self::{
    expression::Inputs,
    mapping::{Mapping, Unresolved},
    operations::Claims,
};

/// Where a definition carries the mapping that its server declares, inside `inputSchema`.
pub const DECLARED: &str = "x-authzen-mapping";
