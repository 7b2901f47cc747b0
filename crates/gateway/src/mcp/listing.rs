//! Serves the four lists: asks the system for its page, shows what this caller
//! could use, and says what it leaves out.

use std::sync::Arc;

use axum::response::Response;
use bailiwick_engine::{admit::Admitted, caller::Caller, live::Live};
use bailiwick_model::{
    decision::{Reason, ReasonCode},
    name::{ActionName, SystemName, ToolName},
};
use bailiwick_pdp::{
    catalogue::System,
    definition,
    visibility::{Lookout, Visibility},
};
use http::StatusCode;
use serde_json::{Value, value::RawValue};

use crate::{
    envelope, failure,
    mcp::{Incoming, Place, answer, door, lists::Page, message::Fault, method, mirror, place::SEPARATOR, visit::Visit},
    upstream::{CallerKey, ListKind},
};

/// Pages that are read of one system for one aggregated list.
pub(crate) const AGGREGATED_PAGES_MAX: usize = 16;
/// Bytes of a cursor that is passed on.
const CURSOR_BYTES_MAX: usize = 4_096;

/// Serves one list.
pub(crate) async fn serve(visit: Visit, incoming: Incoming<'_>, list: ListKind) -> Response {
    let served = match &visit.place {
        Place::System(system) => one(&visit, system, &incoming, list).await,
        Place::All => all(&visit, &incoming, list).await,
    };
    served.unwrap_or_else(|refusal| refusal)
}

/// One page of one system.
async fn one(
    visit: &Visit,
    system: &SystemName,
    incoming: &Incoming<'_>,
    list: ListKind,
) -> Result<Response, Response> {
    let refuse = |fault: Fault| answer::fault(Some(visit.era), Some(&incoming.id), &fault);
    let cursor = cursor(incoming).map_err(refuse)?;
    let admitted = visit.admit(Some(&incoming.id), incoming.method).await?;
    let page = page(visit, &admitted, system, list, cursor).await.map_err(refuse)?;
    let result = page.into_result(visit.era);
    let message = envelope::result(incoming.id.raw(), &result);
    if door::prefers_events(&visit.headers) {
        Ok(answer::one_event(message))
    } else {
        Ok(answer::json(StatusCode::OK, message))
    }
}

/// All systems, each prefixed and filtered by itself. A system that cannot be asked now hides nobody else's tools.
async fn all(visit: &Visit, incoming: &Incoming<'_>, list: ListKind) -> Result<Response, Response> {
    let refuse = |fault: Fault| answer::fault(Some(visit.era), Some(&incoming.id), &fault);
    if !matches!(list, ListKind::Tools | ListKind::Prompts) {
        return Err(refuse(Fault::new(StatusCode::NOT_FOUND, -32_601, "MCP resources are served at `/mcp/<system>`")));
    }
    let live = visit.gateway.broker().live();
    let systems: Vec<SystemName> =
        live.policy.iter().flat_map(|policy| policy.catalogue().servers().map(|system| system.name.clone())).collect();
    let mut whole = Page::empty(list);
    // The proof is used up once, with the first system.
    let mut caller = visit.caller.clone();
    for system in &systems {
        let admitted = visit.admit_to(&caller, system, Some(&incoming.id), incoming.method).await?;
        caller = Caller { spent: Vec::new(), ..caller };
        if let Err(fault) = add(visit, &admitted, system, &mut whole).await {
            tracing::warn!(system.name = %system, error = fault.message, "a system is left out of the aggregated list");
            whole.hidden.add(system.as_str(), &unavailable(system));
        }
    }
    let result = whole.into_result(visit.era);
    Ok(answer::json(StatusCode::OK, envelope::result(incoming.id.raw(), &result)))
}

async fn add(visit: &Visit, admitted: &Admitted, system: &SystemName, whole: &mut Page) -> Result<(), Fault> {
    let mut next = None;
    for _ in 0..AGGREGATED_PAGES_MAX {
        let page = page(visit, admitted, system, whole.list(), next).await?;
        next = page.next_cursor();
        whole.append(page, |item| prefixed(system, item));
        if next.is_none() {
            return Ok(());
        }
    }
    Err(Fault::new(StatusCode::OK, failure::UPSTREAM_FAILED_CODE, "its list has too many pages"))
}

/// An item under its aggregate name; no other byte changes.
fn prefixed(system: &SystemName, item: &RawValue) -> Option<Box<RawValue>> {
    let name = envelope::member(item.get(), "name")?;
    let own: String = serde_json::from_str(name).ok()?;
    let long = Value::from(format!("{system}{SEPARATOR}{own}")).to_string();
    RawValue::from_string(envelope::splice(item.get(), name, &long)?).ok()
}

fn unavailable(system: &SystemName) -> Reason {
    Reason {
        code: ReasonCode::DefinitionUnverified,
        rule: None,
        principal: None,
        message: format!("system `{system}` could not be asked"),
        help: Some("ask for the list again later".to_owned()),
        retry_after_s: None,
    }
}

fn cursor(incoming: &Incoming<'_>) -> Result<Option<String>, Fault> {
    match incoming.params.and_then(|params| envelope::member(params, "cursor")) {
        None | Some("null") => Ok(None),
        Some(text) if text.len() <= CURSOR_BYTES_MAX => {
            serde_json::from_str(text).map(Some).map_err(|_| Fault::params("`params.cursor` is a string"))
        }
        Some(_) => Err(Fault::params(format!("`params.cursor` has at most {CURSOR_BYTES_MAX} bytes"))),
    }
}

/// Asks for one page and filters it.
async fn page(
    visit: &Visit,
    admitted: &Admitted,
    system: &SystemName,
    list: ListKind,
    cursor: Option<String>,
) -> Result<Page, Fault> {
    let pool = &visit.gateway.upstreams;
    let client = visit.session.as_ref().map(|session| session.client.clone()).unwrap_or_default();
    let caller = CallerKey::new(&visit.caller.chain, client);
    let asked = async {
        let era = pool.era_for(system, visit.era).await?;
        pool.page(system, &caller, era.newest(), list, cursor).await
    };
    let raw = asked.await.map_err(|error| failure::fault(&visit.gateway, system, &error))?;
    let text = std::str::from_utf8(&raw).map_err(|_| malformed(system))?;
    let judge = Judge::new(visit.gateway.broker().live(), admitted, system, list);
    Page::filter(text, list, |name, item| judge.visibility(name, item)).map_err(|error| {
        tracing::warn!(system.name = %system, error = %error, "a list cannot be filtered");
        malformed(system)
    })
}

fn malformed(system: &SystemName) -> Fault {
    let message = format!("the list of system `{system}` cannot be understood");
    Fault::new(StatusCode::OK, failure::UPSTREAM_FAILED_CODE, message)
}

/// Says of each item whether this caller is shown it.
struct Judge<'a> {
    live: Arc<Live>,
    lookout: Lookout<'a>,
    system: &'a SystemName,
    list: ListKind,
}

impl<'a> Judge<'a> {
    fn new(live: Arc<Live>, admitted: &'a Admitted, system: &'a SystemName, list: ListKind) -> Self {
        Self { live, lookout: admitted.lookout(), system, list }
    }

    fn entry(&self) -> Option<&System> {
        self.live.policy.as_deref()?.catalogue().system(self.system)
    }

    fn visibility(&self, name: &str, item: &RawValue) -> Visibility {
        match method::used_by(self.list) {
            Some(used_by) => match ActionName::of_method(self.system, used_by) {
                Ok(action) => self.pinned_prompt(name, item).unwrap_or_else(|| self.lookout.visibility(&action)),
                Err(error) => hidden(ReasonCode::UnknownMethod, &error.to_string(), None),
            },
            None => self.tool(name, item),
        }
    }

    /// A tool is shown only as it was pinned, so that nobody reads what nobody approved.
    fn tool(&self, name: &str, item: &RawValue) -> Visibility {
        let parsed: Option<ToolName> = name.parse().ok();
        let tool = parsed.and_then(|name| self.entry()?.tools.get(&name));
        let Some(tool) = tool else {
            let help = "an operator approves new tools with `bailiwick systems discover` and a publish";
            return hidden(ReasonCode::UnknownTool, "it is new and nobody approved it yet", Some(help));
        };
        let seen = serde_json::from_str::<Value>(item.get()).map(|item| definition::digest(&item));
        let quarantined =
            self.live.definitions.get(self.system).is_some_and(|seen| seen.quarantined.contains_key(&tool.name));
        if quarantined || seen.ok() != Some(tool.digest) {
            let help = "an operator looks at the difference with `bailiwick systems show` and approves or rejects it";
            return hidden(ReasonCode::DefinitionChanged, "its definition is not the approved one", Some(help));
        }
        if let Err(unfit) = mirror::check(&tool.definition) {
            let help = "the system's owner corrects its `x-mcp-header` annotations";
            return hidden(ReasonCode::ArgumentInvalid, &unfit.to_string(), Some(help));
        }
        self.lookout.visibility(&tool.action)
    }

    /// A prompt is a text that a model will follow: one that changed since it was pinned is not shown.
    fn pinned_prompt(&self, name: &str, item: &RawValue) -> Option<Visibility> {
        if self.list != ListKind::Prompts {
            return None;
        }
        let pinned = self.entry()?.pinned.prompts.get(name);
        let seen = serde_json::from_str::<Value>(item.get()).map(|item| definition::digest(&item)).ok();
        if pinned.is_some_and(|pinned| Some(pinned.digest) == seen) {
            return None;
        }
        let help = "an operator approves it with `bailiwick systems discover` and a publish";
        Some(hidden(ReasonCode::DefinitionChanged, "its definition is not the approved one", Some(help)))
    }
}

fn hidden(code: ReasonCode, message: &str, help: Option<&str>) -> Visibility {
    Visibility::Hidden(Reason {
        code,
        rule: None,
        principal: None,
        message: message.to_owned(),
        help: help.map(str::to_owned),
        retry_after_s: None,
    })
}
