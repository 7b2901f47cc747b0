//! `GET /oauth/authorize` (RFC 6749 §3.1): refuses. Nobody can sign in yet, so no client may ask for a code; it never
//! redirects, since no redirect URI is registered (§4.1.2.1).

use bailiwick_web::problem::Problem;
use http::StatusCode;

pub(crate) async fn authorize() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "unauthorized_client", "no client can ask for a code here yet")
        .with_hint("agents ask `/oauth/token` for a token with `client_credentials` and `private_key_jwt`")
}
