//! How a user proved who they are, and what a tool may ask of that proof (RFC 9470).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::Acr;

/// The class of what cannot be phished (`OpenID` Connect EAP ACR Values 1.0 §3): every passkey that verified its user.
pub const PHISHING_RESISTANT: &str = "phr";
/// The same with a key that hardware holds; it is at least as good, and we never say it ourselves: nothing attests it.
const PHISHING_RESISTANT_HARDWARE: &str = "phrh";

/// The method of whoever another provider vouches for (`amr`).
pub const FEDERATED: &str = "fed";
/// The method of a one-time link (RFC 8176).
pub const ONE_TIME_LINK: &str = "otp";

/// When and how a user proved who they are (RFC 9470).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authentication {
    /// When: `auth_time`.
    pub at: Timestamp,
    /// By what: `amr` (RFC 8176), such as `hwk`, `user`, `fed`.
    pub methods: BTreeSet<String>,
    /// How well: `acr`; `None` is no class that anybody answers for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<Acr>,
}

impl Authentication {
    /// The same proof as it is seen `later` than at `then`: its age counts to when something was asked, not to now.
    #[must_use]
    pub fn aged_as_of(mut self, then: Timestamp, later: Timestamp) -> Self {
        self.at = self.at.checked_add(later.duration_since(then)).unwrap_or(self.at);
        self
    }

    /// Whether it was proved to this broker itself, by a passkey or by a one-time link of whoever runs it.
    pub fn is_own(&self) -> bool {
        let phishing_resistant = self.acr.as_ref().is_some_and(|acr| acr.as_str() == PHISHING_RESISTANT);
        (phishing_resistant || self.methods.contains(ONE_TIME_LINK)) && !self.methods.contains(FEDERATED)
    }

    /// Whether it is of one of these classes, or better.
    pub fn is_of(&self, classes: &BTreeSet<Acr>) -> bool {
        let meets = |wanted: &Acr, acr: &Acr| {
            acr == wanted || (wanted.as_str() == PHISHING_RESISTANT && acr.as_str() == PHISHING_RESISTANT_HARDWARE)
        };
        self.acr.as_ref().is_some_and(|acr| classes.iter().any(|wanted| meets(wanted, acr)))
    }
}

/// What a user has to have proved: one of these classes, at most so long ago. It asks for one of both at least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepUp {
    /// Classes of which one will do; empty is any.
    pub acr: BTreeSet<Acr>,
    /// Seconds.
    pub max_age_s: Option<u32>,
}

impl StepUp {
    /// Whether a proof is good enough at `now`.
    pub fn is_met_by(&self, proof: &Authentication, now: Timestamp) -> bool {
        let fresh = |max_age_s: u32| now.duration_since(proof.at).as_secs() <= i64::from(max_age_s);
        (self.acr.is_empty() || proof.is_of(&self.acr)) && self.max_age_s.is_none_or(fresh)
    }

    /// What meets both, as far as one request can ask for it.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let common: BTreeSet<Acr> = self.acr.intersection(&other.acr).cloned().collect();
        self.acr = match (self.acr.is_empty(), other.acr.is_empty()) {
            (true, _) => other.acr.clone(),
            (false, true) => self.acr,
            (false, false) if common.is_empty() => self.acr,
            (false, false) => common,
        };
        self.max_age_s = self.max_age_s.into_iter().chain(other.max_age_s).min();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn classes(names: &[&str]) -> BTreeSet<Acr> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn proof(acr: Option<&str>) -> Authentication {
        Authentication { at: at(0), methods: BTreeSet::new(), acr: acr.map(|acr| acr.parse().unwrap()) }
    }

    #[test]
    fn a_proof_is_of_a_class_and_of_an_age() {
        let asked = |names: &[&str], max_age_s| StepUp { acr: classes(names), max_age_s };
        for (asked, acr, age_s, met) in [
            (asked(&["phr"], None), Some("phr"), 1_000_000, true),
            (asked(&["phr"], None), Some("phrh"), 0, true),
            (asked(&["phrh"], None), Some("phr"), 0, false),
            (asked(&["phr"], None), Some("PHR"), 0, false),
            (asked(&["phr"], None), None, 0, false),
            (asked(&["a", "b"], Some(300)), Some("b"), 300, true),
            (asked(&["a", "b"], Some(300)), Some("b"), 301, false),
            (asked(&[], Some(60)), None, 60, true),
            (asked(&[], Some(60)), None, 61, false),
        ] {
            assert_eq!(asked.is_met_by(&proof(acr), at(age_s)), met, "{asked:?} {acr:?} {age_s}");
        }
    }

    #[test]
    fn the_word_of_another_is_no_proof_of_our_own() {
        for (acr, methods, own) in [
            (Some("phr"), vec!["hwk", "user"], true),
            (None, vec!["otp", "user"], true),
            (None, vec!["hwk"], false),
            (None, vec![], false),
            (Some("phr"), vec!["fed"], false),
            (None, vec!["fed", "otp"], false),
        ] {
            let methods: BTreeSet<String> = methods.into_iter().map(str::to_owned).collect();
            assert_eq!(Authentication { methods: methods.clone(), ..proof(acr) }.is_own(), own, "{acr:?} {methods:?}");
        }
    }

    #[test]
    fn two_are_asked_for_as_one() {
        let both = StepUp { acr: classes(&["a", "b"]), max_age_s: None }
            .and(&StepUp { acr: classes(&["b", "c"]), max_age_s: Some(60) });
        assert_eq!(both, StepUp { acr: classes(&["b"]), max_age_s: Some(60) });
        let any = StepUp { acr: classes(&[]), max_age_s: Some(90) }.and(&both);
        assert_eq!(any, both);
    }

    #[test]
    fn a_call_that_lasts_does_not_outlive_its_proof() {
        let asked = StepUp { acr: BTreeSet::new(), max_age_s: Some(60) };
        let then = proof(None).aged_as_of(at(50), at(5_000));
        assert!(asked.is_met_by(&then, at(5_000)) && !asked.is_met_by(&then, at(5_020)));
    }
}
