//! The authorization server: agents authenticate with their own key and get
//! short-lived access tokens for one resource, bound to a key.
//!
//! One file per endpoint. The protocol itself is in `oauth`, the decision who
//! gets what in `engine::tokens`; this room reads and writes HTTP.

mod apart;
mod challenge;
mod clients;
mod deregister;
mod failure;
mod introspect;
mod issuer_keys;
mod jwks;
mod metadata;
mod par;
mod protected_resource;
mod register;
mod revoke;
mod router;
mod token;
mod uses;

pub use self::router::router;
