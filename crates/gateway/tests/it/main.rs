//! The gateway as its clients meet it: a real engine over SQLite in memory, real
//! tokens and proofs, a real upstream over HTTP that counts what reaches it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is surprised must fail"
)]

mod abuse;
mod aggregate;
mod bench;
mod calls;
mod deferred;
mod evasion;
mod leavers;
mod lists;
mod resumption;
mod sessions;
mod streams;
mod upstream;
mod users;
