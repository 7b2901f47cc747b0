//! Page tokens: a position that only we can make, for one caller's one search over one state of policy and registry.
//! Anything else is refused, so that no page is of another search than the one before it.

use bailiwick_engine::live::Live;
use bailiwick_oauth::dpop_nonce::NonceSecret;
use bailiwick_web::problem::Problem;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;

use crate::authzen::message::search::Kind;

const PURPOSE: &str = "authzen-page";
const POSITION_BYTES: usize = 8;

/// What a token is good for.
pub(super) struct Binding {
    caller: String,
    kind: &'static str,
    asked: String,
    bundle: String,
    epoch: [u8; 8],
}

impl Binding {
    pub(super) fn new(caller: &str, kind: Kind, asked: &str, live: &Live) -> Self {
        Self {
            caller: caller.to_owned(),
            kind: kind.as_str(),
            asked: asked.to_owned(),
            bundle: live.policy.as_ref().map(|policy| policy.revision().to_string()).unwrap_or_default(),
            epoch: live.epoch.to_be_bytes(),
        }
    }

    fn parts<'a>(&'a self, position: &'a [u8]) -> [&'a [u8]; 6] {
        let Self { caller, kind, asked, bundle, epoch } = self;
        [caller.as_bytes(), kind.as_bytes(), asked.as_bytes(), bundle.as_bytes(), epoch, position]
    }
}

/// The token of the page that starts at a position.
pub(super) fn token(secret: &NonceSecret, binding: &Binding, position: usize) -> String {
    let position = (position as u64).to_be_bytes();
    let tag = secret.tag(PURPOSE, &binding.parts(&position));
    URL_SAFE_NO_PAD.encode([position.as_slice(), tag.as_ref()].concat())
}

/// The position of a token that is ours and of this search.
pub(super) fn position(secret: &NonceSecret, binding: &Binding, token: &str) -> Result<usize, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
    let (position, tag) = bytes.split_at_checked(POSITION_BYTES).ok_or_else(refused)?;
    if !secret.is_tag(tag, PURPOSE, &binding.parts(position)) {
        return Err(refused());
    }
    let position = <[u8; POSITION_BYTES]>::try_from(position).map_err(|_| refused())?;
    usize::try_from(u64::from_be_bytes(position)).map_err(|_| refused())
}

fn refused() -> Problem {
    let detail = "`page.token` is not of this search, or agents or policy changed since";
    Problem::new(StatusCode::BAD_REQUEST, "page_token", detail).with_hint("ask for the first page again")
}
