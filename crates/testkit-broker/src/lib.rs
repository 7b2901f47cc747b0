//! The broker in a box: the real binary in a scratch folder, real clients before
//! it, and upstreams behind it that write down every byte that reaches them.
//!
//! For tests only, so whatever goes wrong here panics with what was tried: that
//! is how a test fails. It never reaches into the broker; it knows the command
//! line, the wire and nothing else.
//!
//! | module | holds |
//! |---|---|
//! | [`broker`] | an installation, its commands and its server |
//! | [`browser`], [`person`] | a real browser, and a user who signed in at it |
//! | [`http_client`] | MCP over HTTP with a token and a proof per request |
//! | [`suite_client`] | MCP as an agent's framework speaks it, without credentials |
//! | [`model_api`] | a loopback fake of a model, with a script |
//! | [`shim`] | a door for clients that bring no credentials |
//! | [`stdio_client`] | MCP over stdio: the bridge, or any server directly |
//! | [`fixture`] | an MCP server of our own that counts, changes and misbehaves on demand |
//! | [`tools`] | where the binary and the servers and clients of others are |
//! | [`ports`] | ports of loopback that no other test takes |
//! | [`documents`] | the commands of the docs, as scripts |
#![expect(clippy::panic, clippy::expect_used, reason = "a harness fails the test that uses it, and says with what")]

pub mod broker;
pub mod browser;
pub mod documents;
pub mod fixture;
pub mod http_client;
pub mod model_api;
pub mod person;
pub mod ports;
pub mod shim;
pub mod stdio_client;
pub mod suite_client;
pub mod tools;
