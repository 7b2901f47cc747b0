//! A client that is known by the URL of its metadata document (draft-ietf-oauth-client-id-metadata-document-02): what its URL
//! must look like, and the agent's name that follows from it.

use std::{fmt, str::FromStr};

use url::Url;

use crate::{
    digest::Digest,
    name::{AgentName, NameError, serde_by_str},
};

/// Bytes of one URL at most.
pub const CLIENT_URL_BYTES_MAX: usize = 512;
/// Bytes of a host in the name that follows from a URL.
const HOST_BYTES_MAX: usize = 38;
/// Bytes of a digest in it, as hexadecimal digits: nobody finds two URLs that have 80 bits in common.
const DIGEST_CHARACTERS: usize = 20;

/// An `https` URL with a path, in the one spelling that URL parsers agree on, and compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientUrl(String);

impl ClientUrl {
    /// Whether a `client_id` is meant as such a URL: no agent's name has a colon.
    pub fn is_meant(text: &str) -> bool {
        text.contains(':')
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host, for people: who publishes there answers for the client.
    pub fn host(&self) -> &str {
        let rest = self.0.strip_prefix("https://").unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }

    /// The name of its agent, which follows from the URL alone: its host, to be read, and a digest of the whole, which tells
    /// it from every other.
    pub fn agent_name(&self) -> Option<AgentName> {
        let host: String = self.host().chars().take(HOST_BYTES_MAX).map(plain).collect();
        let digest = Digest::of(self.0.as_bytes()).to_string();
        let digest: String = digest.trim_start_matches("sha256:").chars().take(DIGEST_CHARACTERS).collect();
        format!("url-{}-{digest}", host.trim_matches('-')).parse().ok()
    }
}

const fn plain(character: char) -> char {
    if character.is_ascii_lowercase() || character.is_ascii_digit() { character } else { '-' }
}

impl fmt::Display for ClientUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClientUrl {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let expected =
            "write `https://host/path` of the client's metadata document, in its usual spelling, without a query";
        let refused = || NameError::new("client URL", text, expected);
        if text.len() > CLIENT_URL_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(refused());
        }
        let url = Url::parse(text).map_err(|_| refused())?;
        // Whatever a parser would change, such as dot segments, odd addresses or a default port, is not the usual spelling.
        let is_plain = url.as_str() == text && !url.path().contains(['%', '\\']) && !url.path().contains("//");
        let is_bare = url.query().is_none() && url.fragment().is_none();
        let is_anybodys = url.username().is_empty() && url.password().is_none();
        match url.scheme() == "https" && url.has_host() && url.path().len() > 1 && is_plain && is_bare && is_anybodys {
            true => Ok(Self(text.to_owned())),
            false => Err(refused()),
        }
    }
}

serde_by_str!(ClientUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_spelling_and_names_no_secret() {
        for good in [
            "https://claude.ai/oauth/client.json",
            "https://a.example:8443/c",
            "https://127.0.0.1:9/c",
            "https://a.example/c/",
        ] {
            assert_eq!(good.parse::<ClientUrl>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "claude",
            "http://a.example/c",
            "https://a.example",
            "https://a.example/",
            "https://A.example/c",
            "https://a.example:443/c",
            "https://a.example/./c",
            "https://a.example/x/../c",
            "https://a.example/%2e%2e/c",
            "https://a.example/a%2fc",
            "https://a.example//c",
            "https://a.example/a\\c",
            "https://a.example/c?x=1",
            "https://a.example/c?",
            "https://a.example/c#x",
            "https://a.example/c#",
            "https://user@a.example/c",
            "https://:p@a.example/c",
            "https://127.1/c",
            "https://0x7f.0.0.1/c",
            "https:a.example/c",
            "https://a.example/c ",
            " https://a.example/c",
            "https://\u{e4}.example/c",
            "javascript:alert(1)",
            "data:text/plain,x",
        ] {
            assert!(bad.parse::<ClientUrl>().is_err(), "{bad}");
        }
        let long = format!("https://a.example/{}", "c".repeat(CLIENT_URL_BYTES_MAX));
        assert!(long.parse::<ClientUrl>().is_err());
    }

    #[test]
    fn a_name_follows_from_the_whole_url() {
        let name = |url: &str| url.parse::<ClientUrl>().unwrap().agent_name().unwrap().to_string();
        assert!(name("https://claude.ai/oauth/client.json").starts_with("url-claude-ai-"));
        assert_ne!(name("https://claude.ai/oauth/client.json"), name("https://claude.ai/oauth/client.jsom"));
        assert_ne!(name("https://a-b.example/c"), name("https://a.b.example/c"));
        let long = format!("https://{}.example/c", "a".repeat(60));
        assert!(name(&long).len() <= 64);
        assert!(name("https://[::1]:8443/c").starts_with("url-"));
    }
}
