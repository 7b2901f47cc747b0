//! How much of the gateway one principal may take at once, so that nobody's
//! eagerness becomes everybody's outage. Knows nothing of what is done.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bailiwick_model::{decision::ReasonCode, principal::DelegationChain};
use bailiwick_web::problem::Problem;
use http::StatusCode;

use crate::mcp::message::Fault;

/// Calls and streams of one chain of principals that may be under way. Each call holds its body, its arguments and its
/// answer in memory. What is over at once (a cancellation, an answer) is not counted: it must pass when nothing else does.
pub(crate) const UNDER_WAY_PER_PRINCIPAL_MAX: usize = 256;

/// Everybody who is inside.
#[derive(Debug, Default, Clone)]
pub(crate) struct Crowd(Arc<Mutex<HashMap<DelegationChain, usize>>>);

/// One call or stream under way; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Guest {
    crowd: Crowd,
    chain: DelegationChain,
}

/// Too many of one chain are inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded;

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an agent has at most {UNDER_WAY_PER_PRINCIPAL_MAX} calls and streams under way")
    }
}

impl From<Crowded> for Fault {
    fn from(crowded: Crowded) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, -32_600, crowded.to_string())
    }
}

impl From<Crowded> for Problem {
    fn from(crowded: Crowded) -> Self {
        let code = ReasonCode::LimitReached.as_str();
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, crowded.to_string()).retryable()
    }
}

impl Crowd {
    fn inside(&self) -> MutexGuard<'_, HashMap<DelegationChain, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one more call or stream of these principals in.
    pub(crate) fn enter(&self, chain: &DelegationChain) -> Result<Guest, Crowded> {
        let mut inside = self.inside();
        let count = inside.entry(chain.clone()).or_default();
        if *count >= UNDER_WAY_PER_PRINCIPAL_MAX {
            return Err(Crowded);
        }
        *count += 1;
        drop(inside);
        Ok(Guest { crowd: self.clone(), chain: chain.clone() })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.crowd.inside();
        if let Some(count) = inside.get_mut(&self.chain) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                inside.remove(&self.chain);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bailiwick_model::principal::Principal;

    use super::*;

    #[test]
    fn one_principal_cannot_take_all_the_room() {
        let crowd = Crowd::default();
        let chain = |name: &str| DelegationChain::of(Principal::Agent(name.parse().unwrap()));
        let guests: Vec<Guest> =
            (0..UNDER_WAY_PER_PRINCIPAL_MAX).map(|_| crowd.enter(&chain("ann")).unwrap()).collect();
        assert_eq!(crowd.enter(&chain("ann")).unwrap_err(), Crowded);
        let bob = crowd.enter(&chain("bob")).unwrap();
        drop(guests);
        drop(bob);
        assert!(crowd.enter(&chain("ann")).is_ok());
        assert!(crowd.inside().is_empty(), "nobody is remembered who is not inside");
    }
}
