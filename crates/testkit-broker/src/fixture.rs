//! An MCP server of our own, over stdio and Streamable HTTP, in both revisions.
//!
//! It writes every message that reaches it into a [`ledger`], so that a test can
//! say "the upstream saw nothing" and mean it. A control folder changes it while
//! it runs. It checks nothing and allows everything: that is the broker's job.

pub mod control;
pub mod http;
pub mod ledger;
pub mod protocol;
pub mod stdio;
