//! The boundaries of the pure core: object-safe traits, implemented outside.
//!
//! A trait is here only because it separates decisions from the world: the
//! store, the clock, chance, signatures, secrets, the systems behind us.

pub mod chance;
pub mod connections;
pub mod entry;
pub mod signer;
pub mod store;
pub mod token_rows;
pub mod upstreams;
pub mod vault;
