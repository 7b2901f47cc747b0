//! Work beside the calls: integrating evidence, rotating keys. Each job says in the log what went wrong and goes on.

use std::{sync::Arc, time::Duration};

use bailiwick_engine::{connections, lifecycle, observation, refusal::Refusal, token_keys};
use bailiwick_ports::{connections::FormPosts, signer::CheckpointSigner, store::Store as _};
use tokio_util::sync::CancellationToken;

use crate::wiring::Wired;

/// How often new evidence enters the Merkle log under a signed checkpoint.
pub const INTEGRATE_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for observations whose time is over.
pub const END_OBSERVATIONS_EVERY: Duration = Duration::from_secs(1);
/// How often what time brings to agents is looked for; what is overdue is refused without it.
pub const ADVANCE_LIVES_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked for connections that ended, and at most, while a server does not take its tokens back.
pub const TAKE_BACK_EVERY: Duration = Duration::from_secs(2);
/// See [`TAKE_BACK_EVERY`].
pub const TAKE_BACK_EVERY_MAX: Duration = Duration::from_secs(60);
/// How often due steps of a key rotation are taken.
pub const ROTATE_EVERY: Duration = Duration::from_secs(60);

/// Integrates evidence until `stop`, and once more then.
pub async fn integrate(wired: Arc<Wired>, stop: CancellationToken) {
    let signer = Arc::clone(&wired.checkpoint) as Arc<dyn CheckpointSigner>;
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(INTEGRATE_EVERY) => false,
        };
        if let Err(error) = wired.store.integrate(Arc::clone(&signer)).await {
            tracing::error!(%error, "evidence not integrated; it stays durable and is tried again");
        }
        if stopping {
            return;
        }
    }
}

/// Records the end of observations whose time is over; enforcement does not wait for it.
pub async fn end_observations(wired: Arc<Wired>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(END_OBSERVATIONS_EVERY) => {}
        }
        if let Err(error) = observation::end_overdue(&wired.broker).await {
            tracing::error!(%error, "the end of an observation is not recorded; it is over all the same");
        }
    }
}

/// Suspends agents that nobody looked after, and forgets what is over.
pub async fn advance_lives(wired: Arc<Wired>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ADVANCE_LIVES_EVERY) => {}
        }
        if let Err(error) = lifecycle::advance(&wired.broker).await {
            tracing::error!(%error, "what is overdue is not recorded; it is refused all the same");
        }
    }
}

/// Has tokens of connections that ended taken back by the servers that gave them, and erases them. No call is made with
/// them meanwhile.
pub async fn take_back(wired: Arc<Wired>, posts: Arc<dyn FormPosts>, stop: CancellationToken) {
    take_back_rounds(|| connections::take_back(&wired.broker, posts.as_ref()), &stop).await;
}

/// Rounds until `stop`, which waits for no server: what a round was about to do, the next start does.
async fn take_back_rounds<R: Future<Output = Result<usize, Refusal>>>(round: impl Fn() -> R, stop: &CancellationToken) {
    let mut wait = TAKE_BACK_EVERY;
    loop {
        let turn = async {
            tokio::time::sleep(wait).await;
            round().await
        };
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = turn => done,
        };
        // Whoever does not answer is not asked every few seconds.
        wait = match done {
            Ok(0) => TAKE_BACK_EVERY,
            Ok(_) => (wait * 2).min(TAKE_BACK_EVERY_MAX),
            Err(error) => {
                tracing::error!(%error, "tokens of connections that ended are not erased yet; no call is made with them");
                (wait * 2).min(TAKE_BACK_EVERY_MAX)
            }
        };
    }
}

/// Takes due steps of a rotation of the issuer's keys, the first time at once: a broker that starts often rotates too.
pub async fn rotate(wired: Arc<Wired>, stop: CancellationToken) {
    loop {
        match token_keys::advance(&wired.broker).await {
            Ok(steps) if steps.is_empty() => {}
            Ok(steps) => tracing::info!(steps = steps.len(), "signing keys rotated"),
            Err(error) => tracing::error!(%error, "a step of the signing keys' rotation failed, or is not recorded"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROTATE_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_its_time_holds_up_no_shutdown() {
        let stop = CancellationToken::new();
        let asked = CancellationToken::new();
        let round = || {
            asked.cancel();
            std::future::pending()
        };
        let rounds = async {
            tokio::join!(take_back_rounds(round, &stop), async {
                asked.cancelled().await;
                stop.cancel();
            })
        };
        assert!(tokio::time::timeout(Duration::from_secs(30), rounds).await.is_ok());
    }
}
