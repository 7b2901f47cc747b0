//! Where a client may have its users sent back to (RFC 6749 §3.1.2): compared as a whole, never by a part.

use std::{fmt, str::FromStr};

use url::Url;

use crate::name::{NameError, serde_by_str};

/// Bytes of one redirect URI.
pub const REDIRECT_URI_BYTES_MAX: usize = 1_024;
/// Redirect URIs of one client.
pub const REDIRECT_URIS_MAX: usize = 8;
/// Names of the user's own machine, on which a program listens at any port (RFC 8252 §7.3). `localhost` too: MCP clients
/// use it.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];
/// What our answer adds; a registered query must not have it already.
const ANSWER_PARAMETERS: [&str; 5] = ["code", "state", "iss", "error", "error_description"];

/// A registered redirect URI: `https`, or `http` on the user's own machine, in the one spelling that URL parsers agree on.
///
/// Schemes of an application's own are refused: any program on a device can claim them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request may name `asked`: the same bytes, or on the user's own machine the same but for the port.
    pub fn admits(&self, asked: &str) -> bool {
        if self.0 == asked {
            return true;
        }
        let (Some(own), Some(asked)) = (without_port(&self.0), without_port(asked)) else { return false };
        own == asked
    }

    /// The origin that a browser is sent to, as a Content Security Policy names it.
    pub fn origin_of(uri: &str) -> Option<String> {
        let url = Url::parse(uri).ok()?;
        Some(url.origin().ascii_serialization()).filter(|origin| origin != "null")
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RedirectUri {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |hint| NameError::new("redirect URI", text, hint);
        let url = well_formed(text).ok_or_else(|| refuse("write a whole URL in its usual spelling, without `#`"))?;
        let loopback = url.host_str().is_some_and(|host| LOOPBACK.contains(&host));
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(refuse("use `https://`, or `http://127.0.0.1/…` for a program on its user's machine"));
        }
        if url.query_pairs().any(|(name, _)| ANSWER_PARAMETERS.contains(&name.as_ref())) {
            return Err(refuse("leave out of the query what the answer adds: `code`, `state`, `iss`, `error`"));
        }
        Ok(Self(text.to_owned()))
    }
}

serde_by_str!(RedirectUri);

/// A URL that says the same to every parser: already in its normal form, with a host, without fragment and credentials.
fn well_formed(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= REDIRECT_URI_BYTES_MAX)?;
    let plain = url.has_host() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (plain && url.as_str() == text).then_some(url)
}

/// A URI on the user's own machine without its port; `None` for any other.
fn without_port(text: &str) -> Option<Url> {
    let mut url = well_formed(text)?;
    if url.scheme() != "http" || !LOOPBACK.contains(&url.host_str()?) {
        return None;
    }
    url.set_port(None).ok()?;
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_the_users_own_machine() {
        for good in [
            "https://client.example/cb",
            "https://client.example:8443/cb?tenant=1",
            "http://127.0.0.1/cb",
            "http://[::1]:3000/cb",
            "http://localhost:33418/",
        ] {
            assert!(good.parse::<RedirectUri>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "/cb",
            "http://client.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://localhost.evil.example/cb",
            "http://127.1/cb",
            "cursor://anysphere/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://client.example/cb#fragment",
            "https://client.example/cb#",
            "https://user@client.example/cb",
            "https://user:pass@client.example/cb",
            "https://client.example",
            "HTTPS://client.example/cb",
            "https://CLIENT.example/cb",
            "https://client.example/a/../cb",
            "https://client.example:443/cb",
            "https://client.example\\@evil.example/cb",
            "https://client.example/cb\n",
            " https://client.example/cb",
            "https://client.example/cb?code=1",
            "https://client.example/cb?x=1&iss=2",
        ] {
            assert!(bad.parse::<RedirectUri>().is_err(), "{bad}");
        }
        let long = format!("https://client.example/{}", "x".repeat(REDIRECT_URI_BYTES_MAX));
        assert!(long.parse::<RedirectUri>().is_err());
    }

    #[test]
    fn a_request_names_the_same_uri() {
        let check = |registered: &str, asked: &str, expected: bool| {
            let registered: RedirectUri = registered.parse().unwrap();
            assert_eq!(registered.admits(asked), expected, "{registered} {asked}");
        };
        let web = "https://client.example/cb";
        check(web, web, true);
        for other in [
            "https://client.example/cb/",
            "https://client.example/cb?x=1",
            "https://client.example/cb/../cb",
            "https://client.example:444/cb",
            "https://client.example/CB",
            "https://evil.example/cb",
            "https://client.example.evil.example/cb",
            "http://client.example/cb",
            "https://client.example/cb#x",
            "https://x@client.example/cb",
            "",
        ] {
            check(web, other, false);
        }
        let own = "http://127.0.0.1:8000/cb";
        for same in [own, "http://127.0.0.1:51234/cb", "http://127.0.0.1/cb"] {
            check(own, same, true);
        }
        for other in [
            "http://127.0.0.1:51234/other",
            "http://localhost:8000/cb",
            "http://[::1]:8000/cb",
            "https://127.0.0.1:8000/cb",
            "http://127.0.0.1:51234/cb?x=1",
            "http://127.0.0.1:51234/cb#x",
            "http://127.1:51234/cb",
            "http://127.0.0.1:51234@evil.example/cb",
            "http://127.0.0.1:99999/cb",
        ] {
            check(own, other, false);
        }
    }
}
