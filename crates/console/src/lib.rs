//! What people see in a browser: sign-in by passkey or by another provider, their account, and the one-time link by which they get there.
//!
//! Pages are rendered here, under a strict content security policy, and work without JavaScript but for the browser's
//! own passkey prompt. Every action is a form, checked by `web::session`; everything done is a use case of `engine`.
//!
//! [`connections`] is where a user connects accounts of their own, and [`consent`] where a user says whether an agent may act for them.

mod account;
mod assets;
mod ceremonies;
pub mod connections;
pub mod consent;
pub mod federated;
mod page;
mod router;
mod setup;
mod sign_in;
mod trouble;
mod under_way;

pub use self::router::router;
