//! What other programs' configurations are to us: where each client keeps its own, what stands in it once it is
//! connected, and how it is changed without losing a byte of what is not ours. Talks to nobody.

pub(crate) mod client;
pub(crate) mod document;
pub(crate) mod file;
