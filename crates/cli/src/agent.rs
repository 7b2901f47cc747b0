//! The agent's side: its key, its tokens, its MCP connection. Used by `bridge`, `token` and the demo's agent.

pub mod connection;
pub mod tokens;
