//! `bailiwick systems`: upstream systems, what they offer, how it is classified.

use std::{fmt::Write as _, path::Path};

use bailiwick_model::name::SystemName;
use serde_json::{Value, json};
use similar::TextDiff;

use super::{agents::minute, config, door, observe::notice};
use crate::{
    arguments::{AddSystem, Arguments, Systems},
    door::Door,
    exit::{Exit, Failure},
    output::{Output, fields, table, text},
};

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Systems, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        Systems::Add(add) => self::add(arguments, &door, add, output).await?,
        Systems::Discover { name, approve, dry_run } => {
            let folder = config(arguments)?.folder;
            let name = system_name(name)?;
            let proposal = propose(&door, &folder, &name, None, approve).await?;
            report(&proposal, output);
            write(&folder, &name, &proposal, *dry_run, output)?;
        }
        Systems::List => list(&door, output).await?,
        Systems::Show { name } => {
            let name = system_name(name)?;
            show(&door, &name, output).await?;
            notice(&door, &format!("system:{name}"), output).await;
        }
    }
    Ok(Exit::Done)
}

fn system_name(name: &str) -> Result<SystemName, Failure> {
    name.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))
}

async fn add(arguments: &Arguments, door: &Door, ask: &AddSystem, output: &Output) -> Result<(), Failure> {
    let folder = config(arguments)?.folder;
    let name = system_name(&ask.name)?;
    let path = folder.join(format!("systems/{name}.toml"));
    if path.exists() {
        return Err(Failure::new(format!("`{}` exists already", path.display()))
            .hint(format!("edit it, or look for new tools with `bailiwick systems discover {name}`")));
    }
    let proposal = propose(door, &folder, &name, Some(upstream(ask)?), &[]).await?;
    report(&proposal, output);
    write(&folder, &name, &proposal, ask.dry_run, output)?;
    if !ask.dry_run {
        output.note(&format!(
            "\nread {}: the classes are a proposal, and from now on yours\n\
             then: bailiwick policy validate && bailiwick policy publish",
            path.display()
        ));
    }
    Ok(())
}

/// The first lines of a system's file, from the command line.
fn upstream(ask: &AddSystem) -> Result<String, Failure> {
    let usage = |text: String| Failure::new(text).exit(Exit::Usage);
    let mut table = toml::Table::new();
    if let Some(command) = &ask.stdio {
        let words = split_command(command).ok_or_else(|| usage(format!("`{command}` has an open quote")))?;
        if words.is_empty() {
            return Err(usage("the command is empty".to_owned()));
        }
        table.insert("stdio".to_owned(), toml::Value::from(words));
    }
    if let Some(url) = &ask.url {
        table.insert("url".to_owned(), toml::Value::from(url.as_str()));
    }
    if let Some(client) = &ask.client {
        table.insert("client".to_owned(), toml::Value::from(client.as_str()));
    }
    for (key, pairs) in [("env", &ask.env), ("secret_env", &ask.secret_env)] {
        let mut entries = toml::Table::new();
        for pair in pairs {
            let (name, value) = pair.split_once('=').ok_or_else(|| usage(format!("`{pair}` is not NAME=VALUE")))?;
            entries.insert(name.to_owned(), toml::Value::from(value));
        }
        if !entries.is_empty() {
            table.insert(key.to_owned(), toml::Value::Table(entries));
        }
    }
    if let Some(credential) = &ask.credential {
        let (header, secret) =
            credential.split_once('=').ok_or_else(|| usage(format!("`{credential}` is not HEADER=SECRET")))?;
        let prefix = if header.eq_ignore_ascii_case("authorization") { "Bearer " } else { "" };
        let mut entry = toml::Table::new();
        for (key, value) in [("header", header), ("prefix", prefix), ("secret", secret)] {
            entry.insert(key.to_owned(), toml::Value::from(value));
        }
        table.insert("credential".to_owned(), toml::Value::Table(entry));
    }
    let mut root = toml::Table::new();
    root.insert("title".to_owned(), toml::Value::from(ask.title.as_deref().unwrap_or(&ask.name)));
    root.insert("environment".to_owned(), toml::Value::from(ask.environment.as_str()));
    root.insert("risk".to_owned(), toml::Value::from(ask.risk.as_str()));
    if !ask.domains.is_empty() {
        root.insert("domains".to_owned(), toml::Value::from(ask.domains.clone()));
    }
    root.insert("upstream".to_owned(), toml::Value::Table(table));
    toml::to_string(&root).map_err(|error| Failure::new(error.to_string()))
}

/// Splits a command like a shell does with words and quotes; nothing is expanded.
fn split_command(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().push(characters.next()?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Asks the broker to reach a system and to propose its files. `toml` is a new system's; else the file is read.
async fn propose(
    door: &Door,
    folder: &Path,
    name: &SystemName,
    toml: Option<String>,
    approve: &[String],
) -> Result<Value, Failure> {
    let path = folder.join(format!("systems/{name}.toml"));
    let toml = match toml {
        Some(toml) => toml,
        None => std::fs::read_to_string(&path).map_err(|error| {
            Failure::file(&path, &error).hint(format!("add the system with `bailiwick systems add {name} --stdio …`"))
        })?,
    };
    let pinned = folder.join(format!("systems/{name}.tools.json"));
    let pinned = std::fs::read_to_string(pinned).ok();
    let body = json!({"toml": toml, "pinned": pinned, "approve": approve});
    door.change(&format!("/api/v1/systems/{name}/propose"), &body).await
}

fn report(proposal: &Value, output: &Output) {
    output.document(proposal, |proposal| {
        let tools = proposal.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
        table(
            ["tool", "state", "class", "tags", "policy cannot see"],
            tools.iter().map(|tool| {
                [text(tool, "/name"), text(tool, "/state"), text(tool, "/class"), text(tool, "/tags"), unseen(tool)]
            }),
        )
    });
    // Why each class was proposed, and what tools claim of themselves, stands in the file, and what policy cannot see
    // in the table; here only what else there is to look at.
    for note in proposal.get("notes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if ![": added: ", ": claims: ", ": opaque: "].iter().any(|told| note.contains(told)) {
            output.note(&crate::output::clean(note));
        }
    }
}

/// Arguments that policy cannot rule on; `*` are those that the tool lets through undeclared.
fn unseen(tool: &Value) -> String {
    text(tool, "/opaque").replace('*', "undeclared arguments")
}

fn write(folder: &Path, name: &SystemName, proposal: &Value, dry_run: bool, output: &Output) -> Result<(), Failure> {
    for (file, pointer) in
        [(format!("systems/{name}.toml"), "/toml"), (format!("systems/{name}.tools.json"), "/pinned")]
    {
        let path = folder.join(&file);
        let new = proposal.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        if old == new {
            continue;
        }
        if dry_run {
            let difference = TextDiff::from_lines(old.as_str(), new);
            output.note(&difference.unified_diff().header(&file, &file).to_string());
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Failure::file(parent, &error))?;
        }
        // Written beside and moved over, so that a crash leaves the old file or the new one.
        let beside = path.with_extension("new");
        std::fs::write(&beside, new)
            .and_then(|()| std::fs::rename(&beside, &path))
            .map_err(|error| Failure::file(&path, &error))?;
        output.note(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// Pins what a system offers now, for a file that exists already. The demo uses it.
pub(crate) async fn pin(door: &Door, folder: &Path, name: &str) -> Result<(), Failure> {
    let name = system_name(name)?;
    let proposal = propose(door, folder, &name, None, &[]).await?;
    write(folder, &name, &proposal, false, &Output::new(crate::output::Format::Json, true))
}

async fn list(door: &Door, output: &Output) -> Result<(), Failure> {
    let listed = door.read("/api/v1/systems").await?;
    let rows = listed.get("systems").and_then(Value::as_array).cloned().unwrap_or_default();
    output.document(&listed, |_| {
        table(
            ["name", "environment", "risk", "tools", "quarantined", "verified", "upstream"],
            rows.iter().map(|row| {
                [
                    text(row, "/name"),
                    text(row, "/environment"),
                    text(row, "/risk"),
                    text(row, "/tools"),
                    text(row, "/quarantined"),
                    verified(row),
                    shortened(&text(row, "/upstream"), 40),
                ]
            }),
        )
    });
    if rows.is_empty() {
        output.hint("no system yet: `bailiwick systems add --help`");
    }
    Ok(())
}

/// When its tools were last compared with the pinned ones.
fn verified(system: &Value) -> String {
    Some(minute(&text(system, "/verified_at"))).filter(|at| at != "-").unwrap_or_else(|| "not yet".to_owned())
}

/// The two ends of a long text, so that a table stays readable; `show` and `--output json` have all of it.
fn shortened(text: &str, characters_max: usize) -> String {
    let count = text.chars().count();
    if count <= characters_max {
        return text.to_owned();
    }
    let head: String = text.chars().take(characters_max / 2).collect();
    let tail: String = text.chars().skip(count - characters_max / 2 + 1).collect();
    format!("{head}…{tail}")
}

async fn show(door: &Door, name: &SystemName, output: &Output) -> Result<(), Failure> {
    let shown = door.read(&format!("/api/v1/systems/{name}")).await?;
    output.document(&shown, |shown| {
        let mut page = fields(&[
            ("name", text(shown, "/name")),
            ("title", text(shown, "/title")),
            ("upstream", text(shown, "/upstream")),
            ("environment", text(shown, "/environment")),
            ("risk", text(shown, "/risk")),
            ("domains", text(shown, "/domains")),
            ("minimum", text(shown, "/minimum")),
            ("secrets", text(shown, "/vault_secrets")),
            ("verified", verified(shown)),
        ]);
        let tools = shown.get("pinned_tools").and_then(Value::as_array).cloned().unwrap_or_default();
        let rows = table(
            ["tool", "class", "tags", "record", "policy cannot see", "definition"],
            tools.iter().map(|tool| {
                let class = match tool.get("classified").and_then(Value::as_bool) {
                    Some(false) => "write (unclassified)".to_owned(),
                    _ => text(tool, "/class"),
                };
                [
                    text(tool, "/name"),
                    class,
                    text(tool, "/tags"),
                    text(tool, "/record"),
                    unseen(tool),
                    text(tool, "/digest").chars().take(19).collect(),
                ]
            }),
        );
        let _ = write!(page, "\n\n{rows}");
        for row in shown.get("quarantine").and_then(Value::as_array).into_iter().flatten() {
            let _ = write!(page, "\n\n{}", quarantined(row));
        }
        page
    });
    Ok(())
}

/// One tool in quarantine, with what changed.
fn quarantined(row: &Value) -> String {
    let pretty = |pointer: &str| {
        let Some(mut definition) = row.pointer(pointer).filter(|value| !value.is_null()).cloned() else {
            return String::new();
        };
        // The order of keys says nothing; without this, a diff shows little else.
        definition.sort_all_objects();
        serde_json::to_string_pretty(&definition).unwrap_or_default() + "\n"
    };
    let (old, new) = (pretty("/pinned_definition"), pretty("/seen_definition"));
    let difference = TextDiff::from_lines(old.as_str(), new.as_str());
    let difference = difference.unified_diff().header("approved", "seen").to_string();
    format!(
        "quarantined: `{}` is {} since {}; approve it with `bailiwick systems discover {} --approve {}`\n{}",
        text(row, "/tool"),
        text(row, "/difference"),
        minute(&text(row, "/since")),
        text(row, "/system"),
        text(row, "/tool"),
        crate::output::clean(&difference)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_what_differs_whatever_the_order_of_keys() {
        let shown = quarantined(&serde_json::json!({
            "system": "crm", "tool": "search", "difference": "changed", "since": "2026-01-01T00:00:00Z",
            "pinned_definition": {"description": "Finds", "inputSchema": {"properties": {}, "type": "object"}},
            "seen_definition": {"inputSchema": {"type": "object", "properties": {}}, "description": "Sends"},
        }));
        let changed = |sign: &str| {
            shown.lines().filter(|line| line.starts_with(sign) && !line.starts_with(&sign.repeat(3))).count()
        };
        assert_eq!((changed("-"), changed("+")), (1, 1), "{shown}");
    }

    #[test]
    fn commands_are_split_without_a_shell() {
        let check = |command: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
            assert_eq!(split_command(command), expected, "{command}");
        };
        check("npx -y  server /a", Some(&["npx", "-y", "server", "/a"]));
        check(r#"sh 'a b' "c \"d\"" e\ f """#, Some(&["sh", "a b", "c \"d\"", "e f", ""]));
        check("echo $HOME; rm *", Some(&["echo", "$HOME;", "rm", "*"]));
        check("open 'quote", None);
        check("", Some(&[]));
    }
}
