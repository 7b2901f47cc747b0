//! The life of a grant: given, ended with everything that comes from it. Each change is evidence and takes effect on the
//! very next call.

use std::{collections::BTreeSet, sync::Arc};

use bailiwick_audit_log::event::EventKind;
use bailiwick_model::{
    grant::{Grant, GrantStatus},
    id::{ConsentRequestId, GrantId, TokenId},
    principal::Principal,
};
use bailiwick_ports::{
    entry::Entry,
    store::{EndOfGrants, Spent},
};
use jiff::Timestamp;

use crate::{agents::text, broker::Broker, delegation, details, evidence::Draft, live::Live, refusal::Refusal};

/// Gives a grant, using up what authorized it.
pub async fn give(broker: &Broker, by: &Principal, grant: Grant, spent: Vec<Spent>) -> Result<Arc<Grant>, Refusal> {
    let _changing = broker.changing().await;
    let entry = given(broker, by, &grant).await?;
    let epoch = broker.ports.store.give_grant(grant.clone(), spent, entry).await?;
    Ok(install(broker, epoch, grant))
}

/// The same for what a user allowed apart from its client: once, and only while their answer stands.
pub(crate) async fn redeem(
    broker: &Broker,
    by: &Principal,
    request: ConsentRequestId,
    grant: Grant,
    spent: Vec<Spent>,
) -> Result<Arc<Grant>, Refusal> {
    let _changing = broker.changing().await;
    let entry = given(broker, by, &grant).await?;
    let epoch = broker.ports.store.redeem_consent(request, grant.clone(), spent, entry).await?;
    Ok(install(broker, epoch, grant))
}

fn install(broker: &Broker, epoch: u64, grant: Grant) -> Arc<Grant> {
    let grant = Arc::new(grant);
    broker.replace_live(epoch, |live| {
        live.grants.insert_mut(grant.id, Arc::clone(&grant));
    });
    grant
}

/// What evidence says of a grant that is given.
async fn given(broker: &Broker, by: &Principal, grant: &Grant) -> Result<Entry, Refusal> {
    // A chain that no policy lets be is denied at each call; here it is only told by what it is.
    let delegated = delegation::by_policy(&broker.live(), &grant.chain).ok().flatten();
    let entry = Draft::with_id(EventKind::GrantChanged, grant.id.to_string())
        .field("by", by.to_string())
        .field("change", "given")
        .field("grant", grant.id.to_string())
        .field("kind", grant.kind.as_str())
        .field("chain", grant.chain.principals().iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("resources", grant.resources.iter().cloned().collect::<Vec<_>>())
        .field("scope", grant.scopes.iter().map(ToString::to_string).collect::<Vec<_>>())
        .field_if("details", grant.details.as_deref().map(details::actions))
        .field("expires_at", grant.expires_at.to_string())
        .field_if("agent", grant.client().map(ToString::to_string))
        .field_if("parent", grant.parent.map(|parent| parent.to_string()))
        .field_if("task", grant.task.map(|task| task.to_string()))
        .field_if("subject_token", grant.subject.map(|subject| subject.id.to_string()))
        .field_if("vouched_by", grant.vouched.as_ref().map(|vouched| vouched.issuer.clone()))
        .field_if("assertion", grant.vouched.as_ref().map(|vouched| vouched.assertion.clone()))
        .field_if("subject_task", grant.subject.and_then(|subject| subject.task).map(|task| task.to_string()))
        .field_if("delegated_by", delegated.as_ref().map(|delegation| delegation.policy.clone()))
        .field_if("bundle", delegated.map(|delegation| delegation.bundle.to_string()));
    let entry = match &grant.details {
        Some(tools) => entry.sealed("details_whole", serde_json::to_string(tools).unwrap_or_default()),
        None => entry,
    };
    Ok(entry.finish(broker, grant.chain.initiating()).await?)
}

/// Ends an active grant and all that come from it; their tokens end with them. Tells which.
pub async fn end(broker: &Broker, by: &Principal, id: GrantId, reason: &str) -> Result<BTreeSet<GrantId>, Refusal> {
    let reason = text("reason", reason, "say in a few words why")?;
    let _changing = broker.changing().await;
    if !broker.live().grants.contains_key(&id) {
        let known = broker.ports.store.grant(id).await?.is_some();
        return Err(match known {
            true => Refusal::Conflict(format!("grant `{id}` has ended already")),
            false => Refusal::Missing(format!("grant `{id}`")),
        });
    }
    end_those(broker, by, &reason, |grant| grant.id == id).await
}

/// Ends every active grant that `which` holds of, and all that come from them, under a change that is under way; none is
/// no error.
pub(crate) async fn end_those(
    broker: &Broker,
    by: &Principal,
    reason: &str,
    which: impl Fn(&Grant) -> bool,
) -> Result<BTreeSet<GrantId>, Refusal> {
    let Some(EndOfGrants { ids, ended, entry }) = ending(broker, by, reason, which) else { return Ok(BTreeSet::new()) };
    let epoch = broker.ports.store.end_grants(ids.clone(), ended, entry).await?;
    broker.replace_live(epoch, |live| remove(live, &ids));
    Ok(ids.into_iter().collect())
}

/// How every active grant that `which` holds of ends, with all that come from them: for a change that ends them with
/// itself. `None` where there are none.
pub(crate) fn ending(
    broker: &Broker,
    by: &Principal,
    reason: &str,
    which: impl Fn(&Grant) -> bool,
) -> Option<EndOfGrants> {
    Some(ending_all(broker, by, reason, which)).filter(|ends| !ends.ids.is_empty())
}

/// The same, also where there are none: what was asked for and is no grant yet ends by it too.
pub(crate) fn ending_all(broker: &Broker, by: &Principal, reason: &str, which: impl Fn(&Grant) -> bool) -> EndOfGrants {
    let now = broker.now();
    let ids = with_descendants(&broker.live(), now, which);
    let entry = draft(broker, by, "ended")
        .field("grants", ids.iter().map(ToString::to_string).collect::<Vec<_>>())
        .field("reason", reason)
        .public(broker);
    let ended = GrantStatus::Ended { at: now, reason: reason.to_owned() };
    EndOfGrants { ids, ended, entry }
}

/// Takes ended grants out of the live state.
pub(crate) fn remove(live: &mut Live, ids: &[GrantId]) {
    for id in ids {
        live.grants.remove_mut(id);
    }
}

/// Revokes one access token that would end at `until`. One that is revoked already stays so.
pub async fn revoke_token(broker: &Broker, by: &Principal, id: TokenId, until: Timestamp) -> Result<(), Refusal> {
    let _changing = broker.changing().await;
    let now = broker.now();
    if until <= now || broker.live().revoked.contains_key(&id) {
        return Ok(());
    }
    let entry = draft(broker, by, "token revoked").field("token", id.to_string()).public(broker);
    let came_by = |grant: &Grant| grant.subject.is_some_and(|subject| subject.id == id);
    let ends = ending(broker, by, "the token that it was exchanged for was revoked", came_by);
    let ended = ends.as_ref().map(|ends| ends.ids.clone()).unwrap_or_default();
    let epoch = broker.ports.store.revoke_token(id, until, ends, entry).await?;
    broker.replace_live(epoch, |live| {
        live.revoked.insert_mut(id, until);
        remove(live, &ended);
    });
    Ok(())
}

fn draft(broker: &Broker, by: &Principal, verb: &str) -> Draft {
    Draft::event(broker, EventKind::GrantChanged).field("by", by.to_string()).field("change", verb)
}

/// Active grants that `which` holds of, and those that come from them. Chains of grants are as short as those of principals.
/// One that is over is in memory for a while after its row is gone: nothing comes from it any more.
fn with_descendants(live: &Live, now: Timestamp, which: impl Fn(&Grant) -> bool) -> Vec<GrantId> {
    let active = || live.grants.values().filter(|grant| grant.is_active(now));
    let mut found: BTreeSet<GrantId> = active().filter(|grant| which(grant)).map(|grant| grant.id).collect();
    loop {
        let more: Vec<GrantId> = active()
            .filter(|grant| !found.contains(&grant.id) && grant.parent.is_some_and(|parent| found.contains(&parent)))
            .map(|grant| grant.id)
            .collect();
        if more.is_empty() {
            return found.into_iter().collect();
        }
        found.extend(more);
    }
}
