//! The messages of SCIM 2.0 (RFC 7643, RFC 7644), as directories of today send them. Pure: it reads and writes JSON, and
//! decides nothing. What may happen is for the engine.

pub mod discovery;
pub mod error;
pub mod filter;
pub mod group;
pub mod list;
mod object;
pub mod patch;
pub mod path;
pub mod user;
mod wire;

pub use self::wire::{BASE_PATH, MEDIA_TYPE};
