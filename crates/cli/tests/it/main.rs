//! The binary as people meet it: what it prints, word for word, and how it ends. Needs nothing but the binary: no
//! network beyond loopback, no Node.js, no installation.

#![allow(clippy::unwrap_used, reason = "a test that is surprised must fail")]

mod connect;
mod first_day;
mod help;
mod installation;
mod mistakes;
