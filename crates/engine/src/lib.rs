//! The use cases: functions over the ports, one per thing that somebody wants done.
//!
//! [`authorize`] is the heart: it alone makes a [`permitted::Permitted`], the
//! value without which nothing is sent upstream. Everything that changes state
//! does so together with its evidence, in one transaction of the store, and
//! takes effect in [`live::Live`] before it returns.

pub mod admit;
pub mod agents;
pub mod alerts;
pub mod authorization;
pub mod authorize;
mod boundary;
pub mod broker;
pub mod bundles;
pub mod caller;
pub mod check;
pub mod client_documents;
pub mod conclude;
pub mod connections;
pub mod coverage;
mod decide;
pub mod definitions;
pub mod delegation;
mod details;
pub mod directory;
pub mod evidence;
mod facts;
pub mod findings;
pub mod grants;
pub mod hardware;
pub mod history;
pub mod hook;
pub mod identities;
pub mod inspection;
pub mod inventory;
pub mod invitations;
pub mod lifecycle;
pub mod lineage;
pub mod live;
pub mod observation;
pub mod passkeys;
pub mod permissions;
pub mod permitted;
mod record;
pub mod refresh;
pub mod refusal;
pub mod registration;
pub mod safe_mode;
pub mod search;
pub mod secrets;
pub mod sessions;
pub mod start;
pub mod suggest;
pub mod tasks;
pub mod token_keys;
pub mod tokens;
pub mod users;
pub mod vouching;
pub mod weight;
