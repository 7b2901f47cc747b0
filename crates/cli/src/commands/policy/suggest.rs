//! `bailiwick policy suggest`: from recorded calls to a narrower role, from one denial to the grant that would turn it.
//! Shows; with `--write` it writes the files into the folder, and publishes nothing.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::{config, door};
use crate::{
    arguments::{Arguments, Suggest, seconds},
    exit::{Exit, Failure},
    output::{Output, clean, finding, quoted, table, text},
};

/// Bytes of a file of marks.
const MARKS_BYTES_MAX: usize = 1_024 * 1_024;

/// Runs it.
pub(super) async fn run(arguments: &Arguments, ask: &Suggest, output: &Output) -> Result<Exit, Failure> {
    let folder = config(arguments)?.folder;
    let (path, body) = match &ask.denial {
        Some(id) => (format!("/api/v1/policy/suggest/{}", evaluation_id(id)?), json!({})),
        None => ("/api/v1/policy/suggest".to_owned(), body(ask)?),
    };
    let answer = door(arguments).await?.change(&path, &body).await?;
    output.document(&answer, |answer| match ask.denial {
        Some(_) => grant(answer),
        None => suggestion(answer),
    });
    if let Some(next) = rewrite(&answer, ask.system.as_deref()) {
        output.hint(&next);
    }
    if let Some(command) = task_command(&answer) {
        output.hint(&command);
    }
    let files = answer.get("files").and_then(Value::as_object).cloned().unwrap_or_default();
    if ask.write {
        write(&folder, &files)?;
        output.note(&format!("\n{} written to {}", counted(files.len(), "file"), folder.display()));
        output.hint("read them, then `bailiwick policy test` and `bailiwick policy publish`");
    } else if !files.is_empty() {
        output.hint("`--write` writes these files into the folder of the installation, and publishes nothing");
    }
    let stands = answer.get("stands").and_then(Value::as_array).is_some_and(|stands| !stands.is_empty());
    Ok(if stands { Exit::Denied } else { Exit::Done })
}

fn evaluation_id(id: &str) -> Result<bailiwick_model::id::EvaluationId, Failure> {
    id.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))
}

fn body(ask: &Suggest) -> Result<Value, Failure> {
    let (mut good, mut bad) = (ask.good.clone(), ask.bad.clone());
    if let Some(path) = &ask.marks {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
        let (more_good, more_bad) = marks(&text)?;
        good.extend(more_good);
        bad.extend(more_bad);
    }
    let since = ask.since.as_deref().map(|text| moment(text, Timestamp::now())).transpose()?;
    let until = ask.until.as_deref().map(|text| moment(text, Timestamp::now())).transpose()?;
    Ok(json!({
        "role": ask.role, "agent": ask.agent, "system": ask.system,
        "since": since.map(|at| at.to_string()), "until": until.map(|at| at.to_string()),
        "good": good, "bad": bad, "values_max": ask.values_max,
    }))
}

/// `good eval_…` or `bad eval_…`, one a line; `#` starts a comment.
fn marks(text: &str) -> Result<(Vec<String>, Vec<String>), Failure> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    if text.len() > MARKS_BYTES_MAX {
        return Err(Failure::new(format!("a file of marks holds at most {MARKS_BYTES_MAX} bytes")).exit(Exit::Usage));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let id = |id: &str| evaluation_id(id.trim()).map(|id| id.to_string());
        match line.split_once(char::is_whitespace) {
            _ if line.is_empty() => {}
            Some(("good", rest)) => good.push(id(rest)?),
            Some(("bad", rest)) => bad.push(id(rest)?),
            _ => {
                return Err(Failure::new(format!("line {number} of the marks is neither good nor bad"))
                    .hint("write `good eval_…` or `bad eval_…`, one a line")
                    .exit(Exit::Usage));
            }
        }
    }
    Ok((good, bad))
}

/// A time, or how long ago: `30d`, `12h`, `90m`.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = || {
        Failure::new(format!("`{text}` is no time"))
            .hint("write `30d`, `12h`, `90m`, or `2026-11-01T00:00:00Z`")
            .exit(Exit::Usage)
    };
    let at = match seconds(text) {
        Ok(ago) => i64::try_from(ago).ok().and_then(|ago| now.checked_sub(SignedDuration::from_secs(ago)).ok()),
        Err(_) => text.parse().ok(),
    };
    at.ok_or_else(wrong)
}

/// Writes the files, if each still is what the active bundle has: a change that nobody published is not overwritten.
fn write(folder: &Path, files: &serde_json::Map<String, Value>) -> Result<(), Failure> {
    for (path, change) in files {
        let before = change.get("before").and_then(Value::as_str);
        let there = match std::fs::read_to_string(folder.join(path)) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::file(&folder.join(path), &error)),
        };
        if there.as_deref() != before {
            return Err(Failure::new(format!("`{path}` is not what the active bundle has, so nothing was written"))
                .hint("publish or take back your own change first"));
        }
    }
    for (path, change) in files {
        let path = folder.join(path);
        let after = change.get("after").and_then(Value::as_str).unwrap_or_default();
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, after));
        made.map_err(|error| Failure::file(&path, &error))?;
    }
    Ok(())
}

fn suggestion(answer: &Value) -> String {
    let mut page = vec![
        format!("role     {}", text(answer, "/role")),
        format!("agents   {}", text(answer, "/holders")),
        format!(
            "replayed {} good, all allowed; {} bad, all denied",
            number(answer, "/replayed_good"),
            number(answer, "/replayed_bad")
        ),
    ];
    let lines = rows(answer, "lines");
    if !lines.is_empty() {
        page.push(String::new());
        page.push(table(
            ["permit", "action", "calls", "widens", "such as"],
            lines.iter().map(|line| {
                let widens = line.get("widens").and_then(Value::as_bool) == Some(true);
                [
                    text(line, "/policy"),
                    text(line, "/action"),
                    number(line, "/calls").to_string(),
                    if widens { "YES" } else { "" }.to_owned(),
                    text(line, "/samples/0"),
                ]
            }),
        ));
    }
    page.extend(kept(answer));
    if !rows(answer, "lost").is_empty() {
        page.push(format!("\nno longer permitted, nobody used it: {}", text(answer, "/lost")));
    }
    for template in rows(answer, "templates") {
        let (file, tasks) = (text(&template, "/file"), number(&template, "/tasks"));
        page.push(format!("\n{file}: a kind of task, from {tasks} tasks that were seen"));
    }
    for call in rows(answer, "beyond") {
        let (id, because) = (text(&call, "/evaluation"), text(&call, "/because"));
        page.push(format!("\n{id} is good and stays denied: {because}"));
    }
    page.extend(rows(answer, "warnings").iter().map(|warning| format!("\n{}", finding(warning))));
    page.push(contents(answer));
    page.join("\n")
}

/// The good calls that what stays permits, in one line.
fn kept(answer: &Value) -> Option<String> {
    let kept = answer.get("kept").and_then(Value::as_object).filter(|kept| !kept.is_empty())?;
    let all: u64 = kept.values().filter_map(Value::as_u64).sum();
    let by: Vec<String> = kept.iter().map(|(policies, calls)| format!("`{}` ({calls})", clean(policies))).collect();
    let calls = counted(usize::try_from(all).unwrap_or(usize::MAX), "good call");
    Some(format!("\npermitted by what stays, {calls}: {}", by.join("; ")))
}

/// The next step where the role's own permits are written by hand: a suggestion rewrites only what its file allows.
fn rewrite(answer: &Value, system: Option<&str>) -> Option<String> {
    let kept = answer.get("kept").and_then(Value::as_object)?;
    let mut policies = kept.keys().flat_map(|policies| policies.split(", "));
    let by_hand = policies.find(|policy| !policy.contains(':') && !policy.starts_with("suggested-"))?;
    let (role, system) = (text(answer, "/role"), system.unwrap_or("SYSTEM"));
    Some(format!(
        "only entries of `allow` are narrowed: write `allow = [\"{system}:read\"]` into roles/{role}.toml in place of \
         policy `{}`, publish, and suggest again",
        clean(by_hand)
    ))
}

fn grant(answer: &Value) -> String {
    let reason = |reason: &Value| match text(reason, "/rule").as_str() {
        "-" => format!("{}: {}", text(reason, "/code"), text(reason, "/message")),
        rule => format!("{}: {} ({rule})", text(reason, "/code"), text(reason, "/message")),
    };
    let mut page: Vec<String> = rows(answer, "reasons").iter().map(|one| format!("denied   {}", reason(one))).collect();
    let stands = rows(answer, "stands");
    if !stands.is_empty() {
        page.push("\nno grant turns this, so none is proposed:".to_owned());
        page.extend(stands.iter().map(|one| format!("  {}\n  {}", reason(one), text(one, "/help"))));
        return page.join("\n");
    }
    page.push(format!("then     {}", text(answer, "/then")));
    if !rows(answer, "scopes").is_empty() {
        page.push(format!("scopes   ask for a token with {}", text(answer, "/scopes")));
    }
    page.push(contents(answer));
    page.join("\n")
}

/// The files as they would be.
fn contents(answer: &Value) -> String {
    let files = answer.get("files").and_then(Value::as_object).cloned().unwrap_or_default();
    let one = |(path, change): (&String, &Value)| {
        let how = if change.get("before").is_some_and(Value::is_string) { "changes" } else { "is new" };
        let after = change.get("after").and_then(Value::as_str).unwrap_or_default();
        format!("\n== {} {how}\n{}", clean(path), clean(after).trim_end())
    };
    files.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// What to type to make the proposed task.
fn task_command(answer: &Value) -> Option<String> {
    let task = answer.get("task").filter(|task| task.is_object())?;
    let mut words = vec![format!("bailiwick tasks create --agent {} --purpose \"…\"", text(task, "/agent"))];
    for tool in rows(task, "tools") {
        let action = text(&tool, "/action");
        words.push(format!("--tool {action}"));
        for (argument, pin) in tool.get("pins").and_then(Value::as_object).into_iter().flatten() {
            let values = pin.get("one_of").and_then(Value::as_array).into_iter().flatten();
            words.extend(values.map(|value| quoted(&format!("--pin={action}:{argument}={value}"))));
        }
    }
    Some(format!("a task of exactly this call: {}", words.join(" ")))
}

fn rows(of: &Value, name: &str) -> Vec<Value> {
    of.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn number(of: &Value, pointer: &str) -> u64 {
    of.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn counted(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_line_by_line() {
        let id = |digit: char| format!("eval_{}", digit.to_string().repeat(32));
        let text = format!("# a week\ngood {}\n\nbad  {} # the odd one\n", id('1'), id('2'));
        assert_eq!(marks(&text).ok(), Some((vec![id('1')], vec![id('2')])));
        assert!(marks("maybe eval_1").is_err());
        assert!(marks("good eval_1").is_err());
        assert!(marks(&id('1')).is_err());
    }

    #[test]
    fn a_permit_by_hand_is_told_with_what_to_write_instead() {
        let check = |kept: Value, system: Option<&str>, line: &str, hint: Option<&str>| {
            let answer = json!({"role": "reader", "kept": kept});
            assert_eq!(self::kept(&answer).unwrap_or_default().trim_start(), line);
            let next = rewrite(&answer, system).unwrap_or_default();
            assert!(hint.map_or(next.is_empty(), |hint| next.contains(hint)), "{next}");
        };
        check(json!({}), None, "", None);
        let line = "permitted by what stays, 2 good calls: `reader-reads` (2)";
        check(json!({"reader-reads": 2}), Some("crm"), line, Some("`allow = [\"crm:read\"]` into roles/reader.toml"));
        // What an earlier suggestion wrote, or an inherited role allows, is no work left over.
        let line = "permitted by what stays, 1 good call: `role:base:allow:1, suggested-reader-1` (1)";
        check(json!({"role:base:allow:1, suggested-reader-1": 1}), None, line, None);
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap_or_default();
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(moment(text, now).ok().map(|at| at.to_string()).as_deref(), expected, "{text}");
        };
        check("30d", Some("2026-10-30T12:00:00Z"));
        check("12h", Some("2026-11-29T00:00:00Z"));
        check("90m", Some("2026-11-29T10:30:00Z"));
        check("2026-11-01T00:00:00Z", Some("2026-11-01T00:00:00Z"));
        check("-1d", None);
        check("99999999999d", None);
        check("soon", None);
    }

    #[test]
    fn a_proposed_task_is_one_command_that_a_shell_takes_apart_rightly() {
        let answer = json!({"task": {"agent": "bot", "tools": [
            {"action": "mail.send", "pins": {"to": {"one_of": ["o'neil@example.com; rm -rf /"]}}}
        ]}});
        let command = task_command(&answer).unwrap_or_default();
        assert!(
            command.ends_with(r#"--tool mail.send '--pin=mail.send:to="o'\''neil@example.com; rm -rf /"'"#),
            "{command}"
        );
    }
}
