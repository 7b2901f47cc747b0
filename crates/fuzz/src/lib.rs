//! What the fuzz targets share. One target per parser lies in `fuzz_targets/`, and each states what must hold of
//! whatever its parser accepts; that it never panics goes without saying.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target that is surprised must fail"
)]

pub mod edit;
pub mod log;
pub mod signed;
