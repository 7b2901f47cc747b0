//! The policy decision point. Pure: it knows no clock, chance, file, socket or
//! future; everything that a decision depends on is passed in.
//!
//! A bundle of files is compiled into a [`Snapshot`], whole or not at all; what
//! is wrong with it comes back as [`Finding`]s. A snapshot answers evaluations:
//! two stages, policy and authority, both of which must allow, and every doubt
//! denies. `scenarios/*.toml` shows the rules at work.

mod actions;
mod annotations;
mod approvals;
pub mod authzen;
mod calendar;
pub mod catalogue;
pub mod clients;
pub mod coaz;
pub mod definition;
mod entities;
mod evaluate;
mod expression;
pub mod finding;
#[cfg(test)]
mod fixtures;
mod index;
pub mod issuers;
pub mod json_schema;
pub mod lint;
mod literals;
pub mod mapping;
mod named;
pub mod narrowing;
pub mod normalise;
mod over_grant;
mod parts;
mod policies;
pub mod propose;
mod quote;
mod roles;
pub mod scenario;
pub mod schema;
pub mod snapshot;
mod strict_toml;
pub mod suggest;
pub mod templates;
mod values;
pub mod visibility;

pub use self::{
    catalogue::Catalogue,
    finding::{Finding, Severity},
    lint::lint,
    mapping::Call,
    snapshot::Snapshot,
    visibility::{Listing, Lookout, Prospect, Visibility},
};
