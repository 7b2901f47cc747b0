//! What every listener shares: who may come in and with what, how refusals look
//! on the wire, and which limits hold before anybody looks at a message.
//!
//! [`entrance::Entrance`] is made once and handed to every room. [`verify`]
//! alone turns an access token and its proof of possession into an
//! [`bailiwick_engine::caller::Caller`]. Nothing here decides about a call.
//!
//! | module | holds |
//! |---|---|
//! | [`entrance`] | the broker, its public URL, nonces, declared proxies |
//! | [`verify`], [`refused`] | token and proof verification, and its refusals with challenges |
//! | [`problem`], [`reasons`] | RFC 9457 problem documents, and the page that explains them |
//! | [`session`] | who is signed in in a browser, and whether a page of ours sent the form |
//! | [`certificate`] | the certificate of a connection, and whom the operator trusts to have issued it |
//! | [`address`], [`origin`] | where a call comes from, and whether a browser was tricked into making it |
//! | [`listener`], [`headers`], [`limits`], [`throttle`], [`json`] | headers, bounds and strict bodies |

pub mod address;
pub mod certificate;
pub mod entrance;
pub mod headers;
pub mod json;
mod known_tokens;
pub mod limits;
pub mod listener;
pub mod origin;
pub mod problem;
pub mod reasons;
pub mod refused;
pub mod session;
pub mod throttle;
pub mod verify;
