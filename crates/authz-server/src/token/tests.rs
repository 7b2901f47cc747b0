//! Abuse cases of the token endpoint.
