//! Observation: turned on by an operator for a bounded time, over by itself. What it goes past is decided in the policy
//! decision point; here is when it is on, and every change of it is evidence.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    agent::{AgentStatus, Environment},
    observation::{Observation, ObservationScope},
    principal::Principal,
};
use bailiwick_ports::store::{ObservationRow, ObservedCalls};
use jiff::{SignedDuration, Timestamp};

use crate::{agents::text, broker::Broker, evidence::Draft, live::Live, refusal::Refusal};

/// Seconds that an observation lasts at most: 30 days. Who needs longer says so again, and why.
pub const OBSERVATION_S_MAX: u64 = 30 * 24 * 60 * 60;
/// Observations that are on at once: beyond this, somebody turned enforcement off and calls it a trial.
pub const OBSERVATIONS_MAX: usize = 64;

/// What an operator asks to observe.
#[derive(Debug, Clone)]
pub struct ObservationAsk {
    /// What, and whether in production too.
    pub observation: Observation,
    /// For how many seconds.
    pub lifetime_s: u64,
    /// Why.
    pub reason: String,
}

/// An observation as decisions look at it.
#[derive(Debug, Clone)]
pub struct Watch {
    /// What was turned on; its count of calls is the one of when it was read.
    pub row: ObservationRow,
    /// The same end by a clock that nobody sets: whichever comes first is the end.
    deadline: Instant,
}

impl Watch {
    pub(crate) fn new(row: ObservationRow, now: Timestamp) -> Self {
        let left = Duration::try_from(row.until.duration_since(now)).unwrap_or(Duration::ZERO);
        let start = Instant::now();
        Self { row, deadline: start.checked_add(left).unwrap_or(start) }
    }

    /// Whether it is on. A clock that shows a time before its start went backwards, and then it is not.
    fn is_on(&self, now: Timestamp, instant: Instant) -> bool {
        self.row.since <= now && !self.is_over(now, instant)
    }

    fn is_over(&self, now: Timestamp, instant: Instant) -> bool {
        now >= self.row.until || instant >= self.deadline
    }
}

/// The latest time that was seen, in microseconds: a clock that is set back brings no observation back.
#[derive(Debug)]
pub(crate) struct LatestTime(AtomicI64);

impl LatestTime {
    pub(crate) fn new(latest: Option<Timestamp>) -> Self {
        Self(AtomicI64::new(latest.map_or(i64::MIN, Timestamp::as_microsecond)))
    }

    /// The latest time so far.
    pub(crate) fn seen(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::Relaxed)).unwrap_or(Timestamp::MIN)
    }

    fn at_least(&self, now: Timestamp) -> Timestamp {
        let before = self.0.fetch_max(now.as_microsecond(), Ordering::Relaxed);
        Timestamp::from_microsecond(before).map_or(now, |before| before.max(now))
    }
}

/// The observations that are on now.
pub(crate) fn on(broker: &Broker, live: &Live) -> BTreeSet<Observation> {
    if live.observations.is_empty() {
        return BTreeSet::new();
    }
    let (now, instant) = (broker.latest.at_least(broker.now()), Instant::now());
    let on = live.observations.values().filter(|watch| watch.is_on(now, instant));
    on.map(|watch| watch.row.observation.clone()).collect()
}

/// The observations that are on now, from memory: what they counted is older.
pub fn now(broker: &Broker) -> Vec<ObservationRow> {
    let live = broker.live();
    let on = on(broker, &live);
    let rows = live.observations.values().map(|watch| &watch.row);
    rows.filter(|row| on.contains(&row.observation)).cloned().collect()
}

/// The observations that are on now, with what they counted up to now.
pub async fn list(broker: &Broker) -> Result<Vec<ObservationRow>, Refusal> {
    let on = on(broker, &broker.live());
    let mut rows = broker.ports.store.observations().await?;
    rows.retain(|row| on.contains(&row.observation));
    Ok(rows)
}

/// Turns an observation on: from the next call on, what rules of the organisation would stop goes through.
pub async fn start(broker: &Broker, by: &Principal, ask: ObservationAsk) -> Result<(), Refusal> {
    end_overdue(broker).await?;
    let _changing = broker.changing().await;
    let ObservationAsk { observation, lifetime_s, reason } = ask;
    let reason = text("reason", &reason, "say why it may go unenforced, and who looks at what it shows")?;
    if !(1..=OBSERVATION_S_MAX).contains(&lifetime_s) {
        return Err(Refusal::invalid(
            format!("an observation lasts a second at least and 30 days at most, not {}", said(lifetime_s)),
            "ask for at most 30 days; whoever needs longer starts another one then",
        ));
    }
    let live = broker.live();
    if live.observations.contains_key(&observation.scope) {
        return Err(Refusal::Conflict(format!("`{}` is observed already; stop it first", observation.scope)));
    }
    if live.observations.len() >= OBSERVATIONS_MAX {
        return Err(Refusal::Conflict(format!("{OBSERVATIONS_MAX} observations are on; stop one first")));
    }
    fits(&live, &observation)?;
    let since = broker.now();
    if broker.latest.at_least(since) > since {
        return Err(Refusal::Conflict(
            "the clock went backwards, so nobody can say when an observation would end; set it right, and start the \
             broker again"
                .to_owned(),
        ));
    }
    let until = since + SignedDuration::from_secs(i64::try_from(lifetime_s).unwrap_or(0));
    let row = ObservationRow { observation, reason: reason.clone(), since, until, calls: ObservedCalls::default() };
    let entry = draft(broker, &row, "started").field("by", by.to_string()).sealed("reason", reason);
    let entry = entry.finish(broker, by).await?;
    let epoch = broker.ports.store.start_observation(row.clone(), entry).await?;
    warn(&row);
    broker.replace_live(epoch, |live| {
        let mut all = BTreeMap::clone(&live.observations);
        all.insert(row.observation.scope.clone(), Watch::new(row, since));
        live.observations = Arc::new(all);
    });
    Ok(())
}

/// Says in the log what is not enforced: when it is turned on, and whenever a broker begins to serve.
pub(crate) fn warn(ObservationRow { observation, until, .. }: &ObservationRow) {
    tracing::warn!(observation.scope = %observation.scope, observation.until = %until, "observed, not enforced");
}

/// Stops one before its end: from the next call on everything is enforced.
pub async fn stop(broker: &Broker, by: &Principal, scope: &ObservationScope, reason: &str) -> Result<(), Refusal> {
    let _changing = broker.changing().await;
    let reason = text("reason", reason, "say why it ends now")?;
    let live = broker.live();
    let watch = live.observations.get(scope);
    let watch = watch.ok_or_else(|| Refusal::Missing(format!("observation of `{scope}`")))?;
    let entry = draft(broker, &watch.row, "stopped").field("by", by.to_string()).sealed("reason", reason);
    let entry = entry.finish(broker, by).await?;
    let epoch = broker.ports.store.end_observation(scope.clone(), entry).await?;
    forget(broker, epoch, scope);
    Ok(())
}

/// Records the end of observations whose time is over. Nothing waits for it: they cover nothing since.
pub async fn end_overdue(broker: &Broker) -> Result<(), Refusal> {
    let overdue = |live: &Live| {
        let (now, instant) = (broker.latest.at_least(broker.now()), Instant::now());
        let over = live.observations.values().filter(|watch| watch.is_over(now, instant));
        over.map(|watch| watch.row.clone()).collect::<Vec<_>>()
    };
    if overdue(&broker.live()).is_empty() {
        return Ok(());
    }
    let _changing = broker.changing().await;
    for row in overdue(&broker.live()) {
        let entry = draft(broker, &row, "ended").public(broker);
        let epoch = broker.ports.store.end_observation(row.observation.scope.clone(), entry).await?;
        tracing::info!(observation.scope = %row.observation.scope, "an observation is over; everything is enforced");
        forget(broker, epoch, &row.observation.scope);
    }
    Ok(())
}

fn forget(broker: &Broker, epoch: u64, scope: &ObservationScope) {
    broker.replace_live(epoch, |live| {
        let mut all = BTreeMap::clone(&live.observations);
        all.remove(scope);
        live.observations = Arc::new(all);
    });
}

/// A span in the largest unit that needs no fraction.
fn said(seconds: u64) -> String {
    let units = [(24 * 60 * 60, "days"), (60 * 60, "hours"), (60, "minutes")];
    let unit = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds} seconds"), |(unit, name)| format!("{} {name}", seconds / unit))
}

/// What is observed exists, and whoever observes production says so.
fn fits(live: &Live, observation: &Observation) -> Result<(), Refusal> {
    let scope = &observation.scope;
    let environment = match scope {
        ObservationScope::Agent(name) => match live.agents.get(name) {
            Some(agent) if matches!(agent.status, AgentStatus::Retired { .. }) => {
                return Err(Refusal::Conflict(format!("agent `{name}` is retired, so it calls nothing")));
            }
            Some(agent) => agent.environment,
            None => return Err(Refusal::Missing(format!("agent `{name}`"))),
        },
        ObservationScope::System(name) => {
            let system = live.policy.as_deref().and_then(|policy| policy.catalogue().system(name));
            system.ok_or_else(|| Refusal::Missing(format!("system `{name}`")))?.environment
        }
    };
    if environment == Environment::Production && !observation.production {
        return Err(Refusal::invalid(
            format!("`{scope}` belongs to production (or says no environment, which is taken for it)"),
            "`--danger-production` observes it there too; else name its environment in its file, and publish",
        ));
    }
    Ok(())
}

fn draft(broker: &Broker, row: &ObservationRow, change: &str) -> Draft {
    let (agent, system) = match &row.observation.scope {
        ObservationScope::Agent(name) => (Some(name.to_string()), None),
        ObservationScope::System(name) => (None, Some(name.to_string())),
    };
    Draft::event(broker, EventKind::ObservationChanged)
        .field_if("agent", agent)
        .field_if("system", system)
        .field("change", change)
        .field("scope", row.observation.scope.to_string())
        .field("production", row.observation.production)
        .field("since", row.since.to_string())
        .field("until", row.until.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn on_from_its_start_to_its_end_by_either_clock() {
        let observation = Observation { scope: "system:crm".parse().unwrap(), production: false };
        let calls = ObservedCalls::default();
        let row = ObservationRow { observation, reason: String::new(), since: at(10), until: at(20), calls };
        let watch = Watch::new(row, at(10));
        let start = Instant::now();
        let check = |second: i64, passed_s: u64, expected: bool| {
            let instant = start + Duration::from_secs(passed_s);
            assert_eq!(
                watch.is_on(at(second), instant),
                expected,
                "{second} s by one clock, {passed_s} s by the other"
            );
        };
        check(10, 0, true);
        check(19, 9, true);
        check(20, 9, false);
        check(12, 11, false); // the clock stood still, or was set back
        check(9, 0, false); // it was set back before the start
    }

    #[test]
    fn time_never_goes_back() {
        let latest = LatestTime::new(Some(at(5)));
        for (shown, taken) in [(1, 5), (6, 6), (2, 6), (7, 7)] {
            assert_eq!(latest.at_least(at(shown)), at(taken));
        }
        assert_eq!(LatestTime::new(None).at_least(at(1)), at(1));
    }
}
