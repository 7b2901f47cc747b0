//! The vocabulary of Bailiwick: who acts, what is attempted, what was decided.
//!
//! Pure data. Nothing here knows time, chance, files, sockets or futures, and
//! nothing here decides. Every value is parsed at the door ([`std::str::FromStr`],
//! [`TryFrom`]) and is valid from then on; serde goes through the same parsers.
//!
//! | module | holds |
//! |---|---|
//! | [`name`], [`id`], [`digest`] | identifiers that cannot be swapped |
//! | [`principal`], [`agent`], [`user`], [`jwk`], [`confirmation`], [`redirect_uri`] | who acts and with which key |
//! | [`operation`], [`value`] | what is attempted |
//! | [`grant`] | what somebody allowed a client to do |
//! | [`connection`] | accounts at systems that users connected |
//! | [`directory`] | what a directory provisions |
//! | [`authentication`], [`identity`] | how a user proved who they are |
//! | [`task`], [`safe_mode`] | what narrows it |
//! | [`observation`] | what is watched before it is enforced |
//! | [`evaluation`], [`decision`] | the question and the answer |
//! | [`bundle`] | the published policy, as files with one digest |
//! | [`secret`], [`limits`], [`blame`] | secrets that redact themselves, named maxima, whose fault |

pub mod agent;
pub mod authentication;
pub mod blame;
pub mod bundle;
pub mod confirmation;
pub mod connection;
pub mod consent_request;
pub mod decision;
pub mod digest;
pub mod directory;
pub mod evaluation;
pub mod examined;
pub mod grant;
pub mod id;
pub mod identity;
pub mod jwk;
pub mod limits;
pub mod name;
pub mod observation;
pub mod operation;
pub mod passkey;
pub mod principal;
pub mod redirect_uri;
pub mod registration;
pub mod safe_mode;
pub mod secret;
pub mod session;
pub mod task;
pub mod user;
pub mod value;
