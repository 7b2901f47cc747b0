//! Abuse cases of token and proof verification.
