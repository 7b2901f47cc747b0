//! The end of a connection: from this moment on no call is made with it. Its tokens are then taken back at the server that
//! gave them, as often as it takes within an hour, and erased; a server that takes nothing back has them erased at once.

use bailiwick_model::{
    connection::{Connection, ConnectionStatus},
    name::{SystemName, UserId},
    principal::Principal,
};
use bailiwick_ports::connections::FormPosts;
use jiff::SignedDuration;

use super::{account, accounts, draft};
use crate::{broker::Broker, refusal::Refusal};

/// How long a server is asked to take tokens back.
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Ends a user's connection to a system.
pub async fn end(broker: &Broker, by: &Principal, user: &UserId, system: &SystemName) -> Result<(), Refusal> {
    let missing = || Refusal::Missing(format!("a connection of `{user}` to `{system}`"));
    let connection = broker.ports.store.connection(user, system).await?.ok_or_else(missing)?;
    let entry = draft(broker, by, &connection, "ended").public(broker);
    broker.ports.store.end_connection(connection.id, broker.now(), entry).await?;
    // Whether anybody listens is theirs to know.
    let _ = broker.connections.ended.send((user.clone(), system.clone()));
    Ok(())
}

/// Takes back and erases the tokens of what has ended. Tells how many are still to be taken back.
pub async fn take_back(broker: &Broker, posts: &dyn FormPosts) -> Result<usize, Refusal> {
    let ended = broker.ports.store.ended_connections().await?;
    let mut left = 0;
    for connection in ended {
        if taken_back(broker, posts, &connection).await {
            broker.ports.store.forget_connection(connection.id).await?;
        } else {
            left += 1;
        }
    }
    Ok(left)
}

/// Whether nothing is left to ask, or to wait for.
async fn taken_back(broker: &Broker, posts: &dyn FormPosts, connection: &Connection) -> bool {
    let ConnectionStatus::Ended { at } = connection.status else { return false };
    // Only the server that gave them hears of them.
    let known = accounts(&broker.live(), &connection.system).filter(|(_, binding)| *binding == connection.binding);
    let Some((accounts, _)) = known.filter(|(accounts, _)| accounts.revocation_endpoint.is_some()) else {
        return true;
    };
    let is_over = broker.now().duration_since(at) >= GIVE_UP_AFTER;
    let tokens = match account::open(broker, connection).await {
        Ok(tokens) => tokens,
        Err(error) => {
            tracing::warn!(connection.id = %connection.id, %error, "an account's tokens cannot be taken back");
            return is_over || error.is_for_good();
        }
    };
    let mut done = true;
    for token in [tokens.refresh.as_ref(), Some(&tokens.access)].into_iter().flatten() {
        match account::revoke(broker, posts, &accounts, token).await {
            Ok(taken) => done &= taken,
            Err(error) => {
                tracing::warn!(connection.id = %connection.id, error, "an account's token is not taken back yet");
                done = false;
            }
        }
    }
    done || is_over
}
