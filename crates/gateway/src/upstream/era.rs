//! The MCP revisions and what an upstream speaks of them. Decides nothing
//! about calls.

use std::{fmt, str::FromStr};

use super::UpstreamError;
use crate::envelope;

/// An MCP revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// With a handshake; answered by old servers.
    V2024_11_05,
    /// With a handshake; answered by old servers.
    V2025_03_26,
    /// With a handshake; answered by old servers.
    V2025_06_18,
    /// With a handshake: what we ask for.
    V2025_11_25,
    /// Stateless.
    V2026_07_28,
}

/// How a revision begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Era {
    /// `initialize` first, then a session.
    Handshake,
    /// Every message stands alone.
    Stateless,
}

impl Revision {
    const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];

    /// As written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// How it begins.
    pub const fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => Era::Handshake,
            Self::V2026_07_28 => Era::Stateless,
        }
    }
}

impl Era {
    /// The revision of this era that we ask for.
    pub const fn newest(self) -> Revision {
        match self {
            Self::Handshake => Revision::V2025_11_25,
            Self::Stateless => Revision::V2026_07_28,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A revision that nobody here knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an MCP revision that the broker speaks")]
pub struct UnknownRevision;

impl FromStr for Revision {
    type Err = UnknownRevision;

    fn from_str(text: &str) -> Result<Self, UnknownRevision> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text).ok_or(UnknownRevision)
    }
}

/// What an upstream speaks: at least one era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// Whether it takes `initialize`.
    pub handshake: bool,
    /// Whether it takes messages that stand alone.
    pub stateless: bool,
}

impl Offers {
    /// One era only.
    pub const fn only(era: Era) -> Self {
        Self { handshake: matches!(era, Era::Handshake), stateless: matches!(era, Era::Stateless) }
    }

    /// Whether it speaks that era.
    pub const fn speaks(self, era: Era) -> bool {
        match era {
            Era::Handshake => self.handshake,
            Era::Stateless => self.stateless,
        }
    }

    /// The era to use for a caller that speaks `wanted`: the same if the upstream does, so that nothing is translated.
    pub const fn era_for(self, wanted: Era) -> Era {
        match (self.speaks(wanted), wanted) {
            (true, _) => wanted,
            (false, Era::Handshake) => Era::Stateless,
            (false, Era::Stateless) => Era::Handshake,
        }
    }
}

/// What the answer to a probe with `server/discover` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// A modern server that speaks a revision of ours statelessly.
    Modern(Offers),
    /// A server that needs `initialize`.
    Legacy,
}

/// Reads the answer to `server/discover` (basic/versioning, 2026-07-28): only a
/// result or a recognised modern error identifies a modern server.
pub(crate) fn read_probe(answer: &Result<String, String>) -> Result<Probe, UpstreamError> {
    match answer {
        Ok(result) => match envelope::member(result, "supportedVersions") {
            // Some old servers answer whatever they do not know with an empty result.
            None => Ok(Probe::Legacy),
            some => versions(some),
        },
        Err(error) => {
            let code = envelope::member(error, "code").and_then(|code| code.parse::<i64>().ok());
            match code {
                Some(-32022) => {
                    versions(envelope::member(error, "data").and_then(|data| envelope::member(data, "supported")))
                }
                Some(-32021 | -32020) => Ok(Probe::Modern(Offers::only(Era::Stateless))),
                _ => Ok(Probe::Legacy),
            }
        }
    }
}

fn versions(raw: Option<&str>) -> Result<Probe, UpstreamError> {
    let listed: Vec<String> = raw.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    let known: Vec<Revision> = listed.iter().filter_map(|version| version.parse().ok()).collect();
    let offers = Offers {
        handshake: known.iter().any(|revision| revision.era() == Era::Handshake),
        stateless: known.contains(&Revision::V2026_07_28),
    };
    match (offers.stateless, offers.handshake) {
        (true, _) => Ok(Probe::Modern(offers)),
        (false, true) => Ok(Probe::Legacy),
        (false, false) => Err(UpstreamError::Malformed("it names no revision that the broker speaks".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_tells_the_era() {
        let both = Probe::Modern(Offers { handshake: true, stateless: true });
        let modern = Probe::Modern(Offers::only(Era::Stateless));
        let ok = |text: &str| read_probe(&Ok(text.to_owned()));
        let refused = |text: &str| read_probe(&Err(text.to_owned()));
        assert_eq!(ok(r#"{"supportedVersions":["2026-07-28","2025-11-25"]}"#), Ok(both));
        assert_eq!(ok(r#"{"supportedVersions":["2026-07-28"]}"#), Ok(modern));
        assert_eq!(ok(r#"{"supportedVersions":["2025-06-18"]}"#), Ok(Probe::Legacy));
        assert!(ok(r#"{"supportedVersions":["1999-01-01"]}"#).is_err());
        assert!(ok(r#"{"supportedVersions":7}"#).is_err());
        assert_eq!(ok("{}"), Ok(Probe::Legacy));
        assert!(refused(r#"{"code":-32022,"message":"m"}"#).is_err());
        assert_eq!(refused(r#"{"code":-32601,"message":"unknown"}"#), Ok(Probe::Legacy));
        assert_eq!(refused(r#"{"code":-32602,"message":"before initialize"}"#), Ok(Probe::Legacy));
        assert_eq!(refused(r#"{"code":-32022,"message":"m","data":{"supported":["2026-07-28"]}}"#), Ok(modern));
        assert_eq!(refused(r#"{"code":-32022,"message":"m","data":{"supported":["2025-11-25"]}}"#), Ok(Probe::Legacy));
        assert_eq!(refused(r#"{"code":-32020,"message":"header"}"#), Ok(modern));
    }

    #[test]
    fn revisions_round_trip() {
        for revision in Revision::ALL {
            assert_eq!(revision.as_str().parse(), Ok(revision));
        }
        assert_eq!("2027-01-01".parse::<Revision>(), Err(UnknownRevision));
        assert_eq!(Offers::only(Era::Handshake).era_for(Era::Stateless), Era::Handshake);
        assert_eq!(Offers { handshake: true, stateless: true }.era_for(Era::Stateless), Era::Stateless);
    }
}
