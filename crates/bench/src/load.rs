//! Load: callers that ask again as soon as they are answered, or at a pace of their own; and what came of it.

use std::time::{Duration, Instant};

use crate::figure::number;

/// How long each answer took, in milliseconds, and how long all took together.
pub(crate) struct Answers {
    times_ms: Vec<f64>,
    elapsed: Duration,
}

impl Answers {
    pub(crate) fn new(mut times_ms: Vec<f64>, elapsed: Duration) -> Self {
        times_ms.sort_by(f64::total_cmp);
        Self { times_ms, elapsed }
    }

    pub(crate) fn count(&self) -> usize {
        self.times_ms.len()
    }

    /// Answers per second.
    pub(crate) fn rate(&self) -> f64 {
        number(self.count()) / self.elapsed.as_secs_f64()
    }

    /// The time within which so many of a hundred were answered.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        self.times_ms.get(self.count() * percent / 100).copied().unwrap_or_default()
    }
}

/// Somebody who asks one thing after the other.
pub(crate) trait Asks: Send + 'static {
    /// Asks once; panics if the answer is not the expected one.
    fn ask(&mut self) -> impl Future<Output = ()> + Send;
    /// Prepares so many questions, so that signing them is not measured.
    fn prepare(&mut self, questions: usize);
}

/// Every caller asks again as soon as it is answered, for as long as a round lasts. Gives the callers back.
pub(crate) async fn closed<A: Asks>(callers: Vec<A>, round: Duration) -> (Vec<A>, Answers) {
    let started = Instant::now();
    let tasks: Vec<_> = callers
        .into_iter()
        .map(|mut caller| {
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < round {
                    let asked = Instant::now();
                    caller.ask().await;
                    times.push(asked.elapsed().as_secs_f64() * 1e3);
                }
                (caller, times)
            })
        })
        .collect();
    let (mut callers, mut times) = (Vec::new(), Vec::new());
    for task in tasks {
        let (caller, took) = task.await.expect("a caller ends well");
        callers.push(caller);
        times.extend(took);
    }
    (callers, Answers::new(times, started.elapsed()))
}

/// The callers together ask `per_second` times a second, answered or not; a time counts from when its question was due,
/// so that what waits behind a slow answer is not left out.
pub(crate) async fn paced<A: Asks>(callers: Vec<A>, per_second: u32, round: Duration) -> (Vec<A>, Answers) {
    let count = u32::try_from(callers.len()).unwrap_or(1).max(1);
    let every = Duration::from_secs(1) * count / per_second.max(1);
    let started = Instant::now();
    let tasks: Vec<_> = callers
        .into_iter()
        .zip(0_u32..)
        .map(|(mut caller, place)| {
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut due = started + every * place / count;
                while due < started + round {
                    tokio::time::sleep_until(due.into()).await;
                    caller.ask().await;
                    times.push(due.elapsed().as_secs_f64() * 1e3);
                    due += every;
                }
                (caller, times)
            })
        })
        .collect();
    let (mut callers, mut times) = (Vec::new(), Vec::new());
    for task in tasks {
        let (caller, took) = task.await.expect("a caller ends well");
        callers.push(caller);
        times.extend(took);
    }
    (callers, Answers::new(times, started.elapsed()))
}
