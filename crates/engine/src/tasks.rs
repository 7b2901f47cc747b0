//! Tasks: made, shown, ended. A task only ever narrows what its agent's role allows.

use std::sync::Arc;

use bailiwick_audit_log::{commit::commit, event::EventKind};
use bailiwick_model::{
    agent::Agent,
    id::TaskId,
    limits::{PIN_VALUES_MAX, PROMPT_BYTES_MAX, TASK_TOOLS_MAX, TASKS_SELF_MADE_MAX},
    name::{ActionName, AgentName, TemplateName},
    principal::Principal,
    task::{Pin, Task, TaskStatus, ToolGrant},
};
use bailiwick_pdp::{snapshot::Snapshot, templates::Stated};
use bailiwick_ports::{chance::random, new_id, store::Spent};
use jiff::{SignedDuration, Timestamp};

use crate::{agents::text, broker::Broker, evidence::Draft, grants, live::Live, refusal::Refusal};

/// Seconds that a task lasts unless asked otherwise: a working day.
pub const TASK_S: u64 = 8 * 60 * 60;
/// Seconds that it may last at most: a week.
pub const TASK_S_MAX: u64 = 7 * 24 * 60 * 60;

/// What a new task asks for.
#[derive(Debug, Clone)]
pub struct TaskAsk {
    /// Who will work in it.
    pub agent: AgentName,
    /// What it is for.
    pub purpose: String,
    /// The user's words; sealed, committed to in the evidence.
    pub prompt: Option<String>,
    /// All that it may call, and with which arguments.
    pub work: Work,
    /// Seconds until it ends by itself.
    pub lifetime_s: Option<u64>,
}

/// What a task is to allow.
#[derive(Debug, Clone)]
pub enum Work {
    /// These tools and pins.
    Tools(Vec<ToolGrant>),
    /// What a template of the active bundle makes of what was stated.
    Template(TemplateName, Stated),
}

/// Makes a task.
pub async fn create(broker: &Broker, by: &Principal, ask: TaskAsk) -> Result<Arc<Task>, Refusal> {
    create_once(broker, by, ask, Vec::new()).await
}

/// The same, using up what authorized it. One that an agent makes for itself is known as such.
pub(crate) async fn create_once(
    broker: &Broker,
    by: &Principal,
    ask: TaskAsk,
    spent: Vec<Spent>,
) -> Result<Arc<Task>, Refusal> {
    let _changing = broker.changing().await;
    let now = broker.now();
    let agent = broker.agent(&ask.agent).ok_or_else(|| Refusal::Missing(format!("agent `{}`", ask.agent)))?;
    agent
        .standing(now)
        .map_err(|inactive| Refusal::Conflict(format!("agent `{}` cannot take a task: {inactive}", ask.agent)))?;
    let self_made = *by == Principal::Agent(agent.name.clone());
    if self_made {
        check_room(broker, &agent.name, now)?;
    }
    let purpose = text("purpose", &ask.purpose, "say in one sentence what the task is for")?;
    let Granted { tools, template, lifetime_s } = granted(broker, &agent, ask.work)?;
    check_tools(broker, &tools)?;
    let lifetime = ask.lifetime_s.or(lifetime_s).unwrap_or(TASK_S);
    if !(1..=TASK_S_MAX).contains(&lifetime) {
        return Err(Refusal::invalid(
            format!("a task lasts 1 to {TASK_S_MAX} seconds, not {lifetime}"),
            "ask for less",
        ));
    }
    let expires_at = now + SignedDuration::from_secs(i64::try_from(lifetime).unwrap_or(i64::MAX));
    if ask.prompt.as_ref().is_some_and(|prompt| prompt.len() > PROMPT_BYTES_MAX) {
        return Err(Refusal::invalid(format!("a prompt holds at most {PROMPT_BYTES_MAX} bytes"), "shorten it"));
    }
    let salt: [u8; 32] = random(broker.entropy());
    let task = Task {
        id: new_id!(TaskId, now, broker.entropy()),
        self_made,
        agent: ask.agent,
        purpose,
        prompt_commitment: ask.prompt.as_ref().map(|prompt| commit(&salt, "prompt", prompt.as_bytes())),
        tools,
        status: TaskStatus::Open,
        created_at: now,
        expires_at,
    };
    let mut draft = draft(broker, by, &task, "created")
        .field("tools", task.tools.iter().map(|grant| grant.action.to_string()).collect::<Vec<_>>())
        .field("expires_at", task.expires_at.to_string())
        .field_if("template", template.map(|name| name.to_string()))
        .sealed("purpose", task.purpose.clone())
        .sealed("grants", serde_json::to_string(&task.tools).unwrap_or_default());
    if let Some(prompt) = ask.prompt {
        draft = draft.sealed("prompt", prompt).sealed("prompt_salt", hex::encode(salt));
    }
    let entry = draft.finish(broker, &Principal::Agent(task.agent.clone())).await?;
    let epoch = broker.ports.store.create_task(task.clone(), spent, entry).await?;
    let task = Arc::new(task);
    broker.replace_live(epoch, |live| {
        live.tasks.insert_mut(task.id, Arc::clone(&task));
    });
    Ok(task)
}

/// Ends a task; its grants, pins and tokens end with it.
pub async fn end(broker: &Broker, by: &Principal, id: TaskId, reason: &str) -> Result<Arc<Task>, Refusal> {
    let _changing = broker.changing().await;
    let found = broker.ports.store.task(id).await?.ok_or_else(|| Refusal::Missing(format!("task `{id}`")))?;
    if found.status != TaskStatus::Open {
        return Err(Refusal::Conflict(format!("task `{id}` has ended already")));
    }
    let reason = if reason.trim().is_empty() { "done".to_owned() } else { text("reason", reason, "shorten it")? };
    let task = Task { status: TaskStatus::Ended { at: broker.now(), reason: reason.clone() }, ..found };
    let entry = draft(broker, by, &task, "ended")
        .sealed("reason", reason)
        .finish(broker, &Principal::Agent(task.agent.clone()))
        .await?;
    let ends = grants::ending(broker, by, "its task ended", |grant| grant.is_of_task(id));
    let ended = ends.as_ref().map(|ends| ends.ids.clone()).unwrap_or_default();
    let epoch = broker.ports.store.end_task(task.clone(), ends, entry).await?;
    broker.replace_live(epoch, |live| {
        live.tasks.remove_mut(&id);
        grants::remove(live, &ended);
    });
    Ok(Arc::new(task))
}

/// Takes the tasks of an agent that retired out of the live state; the store ended them with it.
pub(crate) fn remove_of(live: &mut Live, agent: &AgentName) {
    let ended: Vec<TaskId> = live.tasks.values().filter(|task| task.agent == *agent).map(|task| task.id).collect();
    for id in ended {
        live.tasks.remove_mut(&id);
    }
}

/// One task, open or ended.
pub async fn show(broker: &Broker, id: TaskId) -> Result<Task, Refusal> {
    broker.ports.store.task(id).await?.ok_or_else(|| Refusal::Missing(format!("task `{id}`")))
}

struct Granted {
    tools: Vec<ToolGrant>,
    template: Option<TemplateName>,
    lifetime_s: Option<u64>,
}

fn granted(broker: &Broker, agent: &Agent, work: Work) -> Result<Granted, Refusal> {
    let (name, stated) = match work {
        Work::Tools(tools) => return Ok(Granted { tools, template: None, lifetime_s: None }),
        Work::Template(name, stated) => (name, stated),
    };
    let live = broker.live();
    let policy = live.policy.as_deref().ok_or_else(|| Refusal::Conflict("no policy bundle is active".to_owned()))?;
    let template = policy.template(&name).ok_or_else(|| {
        let known: Vec<String> = policy.templates().map(|template| format!("`{}`", template.name)).collect();
        let hint = match known.is_empty() {
            true => "the active bundle has none: write `templates/<name>.toml` and publish it".to_owned(),
            false => format!("there is {}", known.join(", ")),
        };
        Refusal::invalid(format!("the active bundle has no template `{name}`"), hint)
    })?;
    if !policy.takes_tasks_of(&agent.role, template) {
        let roles: Vec<String> = template.roles.iter().map(ToString::to_string).collect();
        return Err(Refusal::invalid(
            format!("template `{name}` is not for role `{}` of agent `{}`", agent.role, agent.name),
            format!(
                "it is for {}; add the role to `{}`, where it is checked against it",
                roles.join(", "),
                template.file
            ),
        ));
    }
    let tools = template.expand(&stated).map_err(|error| Refusal::invalid(error.message, error.hint))?;
    Ok(Granted { tools, template: Some(name), lifetime_s: template.minutes.map(|minutes| minutes.saturating_mul(60)) })
}

fn draft(broker: &Broker, by: &Principal, task: &Task, verb: &str) -> Draft {
    Draft::event(broker, EventKind::TaskChanged)
        .field("task", task.id.to_string())
        .field("agent", task.agent.as_str())
        .field("by", by.to_string())
        .field("change", verb)
}

/// Whether an agent may make one more for itself. Only under [`Broker::changing`], where no other is being made.
fn check_room(broker: &Broker, agent: &AgentName, now: Timestamp) -> Result<(), Refusal> {
    let live = broker.live();
    let own = live.tasks.values().filter(|task| task.self_made && task.agent == *agent && task.is_open(now)).count();
    if own < TASKS_SELF_MADE_MAX {
        return Ok(());
    }
    Err(Refusal::invalid(
        format!("the client has {TASKS_SELF_MADE_MAX} tasks of its own"),
        "wait until one of them is over, ask for shorter ones, or have an operator end some by `bailiwick tasks end`",
    ))
}

/// Every tool of a task is in the catalogue, once, with bounded pins on arguments that it has.
fn check_tools(broker: &Broker, tools: &[ToolGrant]) -> Result<(), Refusal> {
    if tools.is_empty() || tools.len() > TASK_TOOLS_MAX {
        return Err(Refusal::invalid(
            format!("a task names 1 to {TASK_TOOLS_MAX} tools"),
            "name each as `<system>.<tool>`; `bailiwick systems show` lists them",
        ));
    }
    let live = broker.live();
    let Some(policy) = live.policy.as_deref() else {
        return Err(Refusal::Conflict("no policy bundle is active".to_owned()));
    };
    let mut seen = std::collections::BTreeSet::new();
    for grant in tools {
        if !seen.insert(&grant.action) {
            return Err(Refusal::invalid(format!("`{}` stands twice", grant.action), "put all its pins in one place"));
        }
        check_tool(policy, grant)?;
    }
    Ok(())
}

/// A tool is in the catalogue, and its pins are bounded and on arguments that it has.
pub(crate) fn check_tool(policy: &Snapshot, grant: &ToolGrant) -> Result<(), Refusal> {
    if !knows_action(policy, &grant.action) {
        return Err(Refusal::invalid(
            format!("`{}` is not in the catalogue", grant.action),
            "name a tool as `<system>.<tool>`; `bailiwick systems show` lists them",
        ));
    }
    for (argument, pin) in &grant.pins {
        takes_argument(policy, grant, argument)?;
        let fits = match pin {
            Pin::OneOf(values) => (1..=PIN_VALUES_MAX).contains(&values.len()),
            Pin::Under(folder) => folder.starts_with('/'),
            Pin::AtMost(_) => true,
        };
        if !fits {
            return Err(Refusal::invalid(
                format!("the pin of `{argument}` of `{}` cannot be met or checked", grant.action),
                "`one_of` takes 1 to 256 values, `under` an absolute path",
            ));
        }
    }
    Ok(())
}

/// A pin on an argument that the tool does not have could never be met.
fn takes_argument(policy: &Snapshot, grant: &ToolGrant, argument: &str) -> Result<(), Refusal> {
    let mut tools = policy.catalogue().systems().flat_map(|system| system.tools.values());
    let Some(tool) = tools.find(|tool| tool.action == grant.action) else { return Ok(()) };
    let properties = tool.definition.pointer("/inputSchema/properties").and_then(serde_json::Value::as_object);
    match properties {
        Some(known) if !known.contains_key(argument) => {
            let known: Vec<&str> = known.keys().map(String::as_str).collect();
            Err(Refusal::invalid(
                format!("`{}` has no argument `{argument}`", grant.action),
                format!("it takes: {}", known.join(", ")),
            ))
        }
        _ => Ok(()),
    }
}

/// Whether the catalogue has this action: a tool of one of its systems, or an MCP method on one.
pub(crate) fn knows_action(policy: &Snapshot, action: &ActionName) -> bool {
    policy.action_names().any(|known| known == action)
}
