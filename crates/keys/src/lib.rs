//! Keys at rest and the implementations of the ports that need them: files
//! that only their owner can read, signers, envelope encryption, the clock and
//! chance of the machine.
//!
//! | module | holds |
//! |---|---|
//! | [`chance`] | the machine's clock and randomness |
//! | [`secret_file`] | files that nobody else can read, made atomically |
//! | [`signing_key`] | a private key of one of our algorithms |
//! | [`token_keys`] | the issuer's keys and their rotation with overlap |
//! | [`checkpoint_key`] | the key that signs the audit log's checkpoints |
//! | [`key_encryption`] | the key-encryption key and what is derived from it |
//! | [`envelope`], [`file_vault`] | sealing under one data key per subject |
//! | [`agent_key`] | an agent's own key, with which `bailiwick token` and `bridge` speak for it |
//!
//! A private key leaves this crate only as a file of mode 0600.

pub mod agent_key;
pub mod chance;
pub mod checkpoint_key;
pub mod envelope;
pub mod file_vault;
pub mod key_encryption;
pub mod secret_file;
pub mod signing_key;
pub mod token_keys;
