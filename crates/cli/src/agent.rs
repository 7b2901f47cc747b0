//! The agent's side: its key, its tokens, its MCP connection. Used by `bridge`, `token` and the demo's agent.

pub(crate) mod connection;
pub(crate) mod device;
pub(crate) mod identity;
pub(crate) mod pkcs11;
pub(crate) mod tokens;
