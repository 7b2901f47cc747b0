//! Looks at every system's definitions again and again over its control
//! connection and reports them. Judges nothing: whoever is told compares.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use tokio::time::Instant;

use super::{Inner, System};
use crate::{
    envelope::Envelope,
    upstream::{
        connection::Live,
        control::Control,
        discover,
        era::Era,
        exchange::{Event, Reply},
        frame::MESSAGE_BYTES_MAX,
        outgoing::Outgoing,
    },
};

/// The shortest time between two looks, however often a server says that something changed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How soon to look again after a look that failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Starts to look. Ends with the system or the pool.
pub(super) fn start(inner: &Arc<Inner>, system: Arc<System>) {
    let weak = Arc::downgrade(inner);
    tokio::spawn(async move {
        let removed = system.removed.clone();
        tokio::select! {
            () = removed.cancelled() => {}
            () = look_again_and_again(&weak, &system) => {}
        }
        system.control.close();
    });
}

async fn look_again_and_again(weak: &Weak<Inner>, system: &System) {
    let mut seen: Option<(Arc<Live>, BoxStream<'static, Bytes>)> = None;
    // A server that says again and again that something changed is looked at less and less often, so that it cannot fill
    // the evidence; each call compares what its own connection offers all the same.
    let mut patience = LOOK_AGAIN_AFTER;
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let looked_at = Instant::now();
        let wait = match look(&inner, system).await {
            Some(live) => {
                if seen.as_ref().is_none_or(|(before, _)| !Arc::ptr_eq(before, &live)) {
                    let changes = changes(&live).await;
                    seen = Some((live, changes));
                }
                system.target.verify_every
            }
            None => {
                seen = None;
                system.target.verify_every.min(RETRY_AFTER)
            }
        };
        drop(inner);
        let changed = async {
            match &mut seen {
                Some((_, changes)) => until_changed(changes).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(looked_at + wait) => patience = LOOK_AGAIN_AFTER,
            () = system.verify_now.notified() => {}
            () = changed => {
                tokio::time::sleep_until(looked_at + patience).await;
                patience = (patience * 2).min(system.target.verify_every.max(LOOK_AGAIN_AFTER));
            }
        }
        tokio::time::sleep_until(looked_at + LOOK_AGAIN_AFTER).await;
    }
}

async fn look(inner: &Inner, system: &System) -> Option<Arc<Live>> {
    let look = async {
        let live = inner.control(system).await?;
        let discovered = discover::discover(&live).await?;
        Ok::<_, crate::upstream::UpstreamError>((live, discovered))
    };
    match look.await {
        Ok((live, discovered)) => {
            if let Some(observer) = inner.observer.get() {
                observer(system.name.clone(), discovered).await;
            }
            Some(live)
        }
        Err(error) => {
            tracing::warn!(system.name = %system.name, error = %error, "a system's definitions cannot be verified");
            None
        }
    }
}

/// What the server says about changes, in the way of its era.
async fn changes(live: &Live) -> BoxStream<'static, Bytes> {
    if live.era == Era::Handshake {
        return live.connection.listen("").await.boxed();
    }
    match live.connection.call(&Outgoing::control(&Control::Listen, Era::Stateless), None).await {
        Ok(Reply::Stream(exchange)) => exchange
            .filter_map(|event| async {
                match event {
                    Ok(Event::Notification(message)) => Some(message),
                    _ => None,
                }
            })
            .boxed(),
        // It does not announce changes; we look on our own.
        Ok(Reply::Result(_) | Reply::Error(_)) | Err(_) => futures::stream::empty().boxed(),
    }
}

async fn until_changed(changes: &mut BoxStream<'static, Bytes>) {
    while let Some(message) = changes.next().await {
        let method = match Envelope::parse_within(&message, MESSAGE_BYTES_MAX) {
            Ok(Envelope::Notification { method, .. }) => method,
            _ => continue,
        };
        if method.ends_with("/list_changed") {
            return;
        }
    }
    std::future::pending().await
}
