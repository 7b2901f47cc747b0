//! Evidence that a stranger can verify: canonical records, a gap-free hash
//! chain per replica, one RFC 6962 Merkle log over all of them, signed checkpoints.
//!
//! Pure: bytes in, bytes out. Nothing here reads a clock, a file or a socket.

pub mod event;
