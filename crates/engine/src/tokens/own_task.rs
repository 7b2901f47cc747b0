//! A client makes a task together with the token for it: what one piece of work needs, gone when it ends. It narrows what
//! the client's role allows like any other task, and it is none that a rule asks for: nobody but the client wanted it.

use bailiwick_model::principal::{DelegationChain, Principal};
use bailiwick_oauth::authorization_details::TaskDetail;

use super::{Issued, TokenAsk, TokenRefusal, asked_scopes, available_scopes, issue_until, standing_client};
use crate::{
    broker::Broker,
    details,
    refusal::Refusal,
    tasks::{self, TaskAsk, Work},
};

/// Makes the task, then the token that is bound to it. The task lasts as long as the token unless asked otherwise.
pub(super) async fn issue(broker: &Broker, mut ask: TokenAsk, task: TaskDetail) -> Result<Issued, TokenRefusal> {
    let agent = standing_client(broker, &ask.agent)?;
    let asked = ask.details.take().filter(|asked| !asked.tools.is_empty()).ok_or_else(|| {
        let hint = "a task names the tools that it may call\nhint: put details of the type `bailiwick_tool` beside it";
        details::refused(hint)
    })?;
    if ask.grant.is_some() || ask.audience.handed_to().is_some() {
        return Err(details::refused("a task is made by `client_credentials` for a system alone"));
    }
    let tools = details::tools(broker, &ask.audience, &asked)?;
    ask.scopes = asked_scopes(&ask, Some(&tools));
    let by = Principal::Agent(agent.name.clone());
    available_scopes(broker, &DelegationChain::of(by.clone()), &ask.audience, ask.scopes.as_ref(), None)?;
    if ask.confirmation.is_none() && !agent.bearer_tokens_allowed {
        return Err(TokenRefusal::Proof("a DPoP proof is required for this client".to_owned()));
    }
    let wanted = TaskAsk {
        agent: agent.name.clone(),
        purpose: task.purpose,
        prompt: None,
        work: Work::Tools(tools),
        lifetime_s: Some(task.expires_in_s.unwrap_or(agent.token_ttl_s)),
    };
    let task = {
        let _turn = broker.own_task_turn().await;
        tasks::create_once(broker, &by, wanted, std::mem::take(&mut ask.spent)).await.map_err(not_made)?
    };
    ask.task = Some(task.id);
    match issue_until(broker, ask, task.expires_at).await {
        Ok(issued) => Ok(Issued { task: Some(task), ..issued }),
        Err(refusal) => {
            let _turn = broker.own_task_turn().await;
            if let Err(error) = tasks::end(broker, &by, task.id, "no token could be issued for it").await {
                tracing::error!(%error, "a task could not be ended");
            }
            Err(refusal)
        }
    }
}

fn not_made(refusal: Refusal) -> TokenRefusal {
    match refusal {
        Refusal::Unavailable(cause) => TokenRefusal::Unavailable(cause),
        Refusal::Conflict(_) => TokenRefusal::Client("the assertion or the proof was used before".to_owned()),
        other => {
            let hint = other.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            details::refused(&format!("{other}{hint}"))
        }
    }
}
