//! OAuth as pure functions: protocol messages, the key policy, signed tokens
//! and their verification.
//!
//! Bytes, keys and `now` come in; values and errors go out. Nothing here knows
//! a clock, chance, a file or a socket, and nothing here holds a private key:
//! [`jws::SigningInput`] is made here and signed elsewhere.
//!
//! A token is an [`jws::UnverifiedToken`] until a [`verifying_key::VerifyingKey`]
//! of known algorithm has verified it; only then do its claims become typed
//! values. The algorithm comes from the key's registration and never from the
//! token.
//!
//! | module | holds |
//! |---|---|
//! | [`json`], [`claims`], [`pem`] | strict parsers |
//! | [`key_policy`], [`key_material`], [`verifying_key`] | which keys are fit, and verifying with them |
//! | [`jws`] | the compact serialisation (RFC 7515) under RFC 8725 |
//! | [`client_assertion`] | `private_key_jwt` (RFC 7523) |
//! | [`client_attestation`] | what an attester says of a client's instance (draft-ietf-oauth-attestation-based-client-auth) |
//! | [`certificate`], [`certificate_path`] | what a client's certificate says (RFC 8705), and who vouches for it |
//! | [`attestation`] | whether the maker of a device says that it holds a key |
//! | [`dpop`], [`dpop_nonce`] | proof of possession (RFC 9449) |
//! | [`access_token`], [`presented`] | access tokens (RFC 9068) and how they are presented |
//! | [`form`], [`client_authentication`] | what every endpoint for clients reads |
//! | [`authorization_request`], [`authorization_response`], [`pkce`] | the authorization endpoint |
//! | [`authorization_details`] | tools and their arguments, and tasks (RFC 9396) |
//! | [`apart_request`], [`id_token`] | consent apart from the client (RFC 8628, CIBA), and who gave it |
//! | [`token_request`], [`token_response`], [`error`] | the token endpoint |
//! | [`named_token`], [`introspection`] | the endpoints that are asked about a token (RFC 7009, RFC 7662) |
//! | [`challenge`], [`metadata`] | `WWW-Authenticate` and discovery |
//! | [`foreign_keys`], [`foreign_token`] | keys of other issuers, and what they sign |
//! | [`foreign_grant`] | tokens that we get from servers of others, as their client |
//! | [`id_jag`] | one domain vouching for a user to another (ID-JAG) |
//! | [`one_time`] | identifiers that may be used once |
//! | `tag` | what we hand out to have it back unchanged |

pub mod access_token;
pub mod apart_request;
pub mod attestation;
pub mod authorization_details;
pub mod authorization_request;
pub mod authorization_response;
pub mod certificate;
pub mod certificate_path;
pub mod challenge;
pub mod claims;
pub mod client_assertion;
pub mod client_attestation;
pub mod client_authentication;
pub mod client_document;
pub mod client_registration;
pub mod dpop;
pub mod dpop_nonce;
pub mod error;
pub mod foreign_grant;
pub mod foreign_id_token;
pub mod foreign_keys;
pub mod foreign_token;
pub mod form;
pub mod id_jag;
pub mod id_token;
pub mod introspection;
pub mod json;
pub mod jws;
pub mod key_material;
pub mod key_policy;
pub mod metadata;
pub mod named_token;
pub mod one_time;
pub mod pem;
pub mod pkce;
pub mod presented;
mod tag;
pub mod token_request;
pub mod token_response;
pub mod verifying_key;

#[cfg(test)]
mod test_keys;
