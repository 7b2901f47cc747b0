//! The pages without a browser: a device in software signs, and every story of abuse is told to the real router.
//!
//! The same pages in a real browser are in `testkit-broker`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "all of this is tests; clippy knows only the functions that are marked so"
)]

mod browser;
mod connections;
mod device;
mod federated;
mod links;
mod pages;
mod signing_in;
