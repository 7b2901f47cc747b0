//! Calls that are decided: finds the system that a call goes to, and in the
//! aggregate gives back the name that the system itself knows.

use axum::response::Response;
use bailiwick_model::name::SystemName;
use bytes::Bytes;
use http::StatusCode;

use crate::{
    envelope,
    mcp::{Incoming, Place, answer, message::Fault, place, visit::Visit},
    phases::{self, Call},
};

/// Serves one operation.
pub(crate) async fn serve(visit: Visit, incoming: Incoming<'_>) -> Response {
    let id = incoming.id.clone();
    let call = match resolve(&visit, &incoming) {
        Ok(call) => call,
        Err(fault) => return answer::fault(Some(visit.era), Some(&id), &fault),
    };
    phases::call(visit, call).await
}

fn resolve(visit: &Visit, incoming: &Incoming<'_>) -> Result<Call, Fault> {
    let (system, name, params) = match &visit.place {
        Place::System(system) => (
            system.clone(),
            incoming.name.clone(),
            incoming.params.map(|params| visit.body.slice_ref(params.as_bytes())),
        ),
        Place::All => aggregated(visit, incoming)?,
    };
    Ok(Call {
        id: incoming.id.clone(),
        system,
        method: incoming.method.to_owned(),
        name,
        params,
        arguments: incoming.arguments()?,
        declared: incoming.beside(),
        client_call: incoming.client_call(),
    })
}

/// Undoes the prefix of the aggregate, in the one member that carries it; no other byte changes.
fn aggregated(visit: &Visit, incoming: &Incoming<'_>) -> Result<(SystemName, Option<String>, Option<Bytes>), Fault> {
    if !matches!(incoming.method, "tools/call" | "prompts/get") {
        let message = format!("`{}` is served at `/mcp/<system>` only", incoming.method);
        return Err(Fault::new(StatusCode::NOT_FOUND, -32_601, message));
    }
    let unknown = || Fault::params("no system offers this name: the list says `<system>__<name>`");
    let live = visit.gateway.broker().live();
    let policy = live.policy.as_deref().ok_or_else(unknown)?;
    let name = incoming.name.as_deref().ok_or_else(unknown)?;
    let (system, own) = place::split(policy, name).ok_or_else(unknown)?;
    let params = incoming.params.ok_or_else(unknown)?;
    let raw = envelope::member(params, "name").ok_or_else(unknown)?;
    let params =
        envelope::splice(params, raw, &serde_json::Value::from(own.as_str()).to_string()).ok_or_else(unknown)?;
    Ok((system, Some(own), Some(params.into())))
}
