//! What tests share: conformance suites and fixtures. Never a dependency of the product.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is surprised must fail"
)]

pub mod store_suite;
