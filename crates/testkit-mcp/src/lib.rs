//! An MCP server on the official SDK with everything that the conformance suite
//! calls, for both revisions. It is what the suite runs against directly, and
//! what stands behind the gateway when it runs through that.
//!
//! For tests only. It depends on nothing of ours, so that both runs measure the
//! same server.
//!
//! | module | holds |
//! |---|---|
//! | [`http`] | the endpoint |
//! | [`server`] | which method does what |
//! | `catalogue` | the definitions, as data |
//! | `content` | answers that are always the same |
//! | `tools` | one call of a tool |
//! | `asks` | what a client of 2025-11-25 is asked while a call runs |
//! | `rounds` | what a client of 2026-07-28 is asked between calls |
//! | `jobs` | calls that become tasks |

mod asks;
mod catalogue;
mod content;
pub mod http;
mod jobs;
mod rounds;
pub mod server;
mod tools;
