//! Writes what is proposed as TOML that a person reads before publishing it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use bailiwick_model::{
    agent::Environment,
    digest::Digest,
    name::{Scope, SystemName, ToolName},
    operation::{ActionClass, ActionTag},
};
use serde_json::Value;

use super::{
    NoteKind,
    arguments::{self, Mapped, Records},
    classify, client_tools, fields,
};
use crate::{
    catalogue::{ArgumentPath, ClientKind, HttpCredential, Upstream},
    definition::visible,
    json_schema,
    normalise::is_hidden,
    quote::quoted,
};

/// Characters of a description that are repeated in a comment.
const COMMENT_CHARS_MAX: usize = 100;

/// A proposed entry.
pub(super) struct Entry {
    pub(super) toml: String,
    pub(super) class: ActionClass,
    pub(super) because: String,
    pub(super) decimals: BTreeSet<ArgumentPath>,
}

/// The entry of one tool of a server, or of a client itself.
pub(super) fn entry(name: &ToolName, definition: &Value, digest: Digest, client: Option<ClientKind>) -> Entry {
    let schema = definition.get("inputSchema").unwrap_or(&Value::Null);
    let shape = json_schema::read(schema, &BTreeSet::new());
    let description = definition.get("description").and_then(Value::as_str).unwrap_or_default();
    let known = client.and_then(|client| client_tools::classify(client, name.as_str()));
    let classified = known.unwrap_or_else(|| classify::classify(name.as_str(), description, &shape.input));
    let mut mapped = arguments::map(name.as_str(), classified.class, &shape.input, schema);
    if client.is_some() {
        client_tools::without_optional(&mut mapped, schema);
    }
    let mut toml = format!("[tools.{}]\n", key(name.as_str()));
    if !description.is_empty() {
        let _ = writeln!(toml, "# It describes itself as: {}", one_line(description));
    }
    let decimals: BTreeSet<ArgumentPath> = mapped.decimal.iter().filter_map(|path| path.parse().ok()).collect();
    for (_, remark) in remarks(definition, &decimals) {
        let _ = writeln!(toml, "# {remark}.");
    }
    for remark in &mapped.remarks {
        let _ = writeln!(toml, "# {}.", one_line(remark));
    }
    let _ = writeln!(toml, "class = \"{}\" # {}", classified.class.as_str(), classified.because);
    if !classified.tags.is_empty() {
        let tags: Vec<String> = classified.tags.iter().map(|tag| string(ActionTag::as_str(*tag))).collect();
        let _ = writeln!(toml, "tags = [{}]", tags.join(", "));
    }
    mapping(&mut toml, &mapped, classified.class);
    let classes = fields::classes(definition);
    if !classes.is_empty() {
        let classes: Vec<String> = classes
            .iter()
            .map(|(class, paths)| {
                format!("{class} = [{}]", paths.iter().map(|path| string(path)).collect::<Vec<_>>().join(", "))
            })
            .collect();
        let _ = writeln!(toml, "field_classes = {{ {} }}", classes.join(", "));
    }
    let _ = writeln!(toml, "definition = \"{digest}\"");
    Entry { toml, class: classified.class, because: classified.because, decimals }
}

fn mapping(toml: &mut String, mapped: &Mapped, class: ActionClass) {
    if let Some(type_name) = &mapped.type_name {
        let ids: Vec<String> = mapped.ids.iter().map(|id| string(id)).collect();
        let _ = match ids.as_slice() {
            [] => writeln!(toml, "resource = {{ type = \"{type_name}\" }}"),
            [id] => writeln!(toml, "resource = {{ type = \"{type_name}\", id = {id} }}"),
            ids => writeln!(toml, "resource = {{ type = \"{type_name}\", id = [{}] }}", ids.join(", ")),
        };
    }
    let each: Vec<String> = mapped.each.iter().map(|each| string(each)).collect();
    let _ = match each.as_slice() {
        [] => Ok(()),
        [each] => writeln!(toml, "each = {each}"),
        each => writeln!(toml, "each = [{}]", each.join(", ")),
    };
    if !mapped.normalise.is_empty() {
        let normalise =
            mapped.normalise.iter().map(|(argument, by)| format!("{} = \"{}\"", key(argument), by.as_str()));
        let _ = writeln!(toml, "normalise = {{ {} }}", normalise.collect::<Vec<_>>().join(", "));
    }
    if !mapped.decimal.is_empty() {
        let decimal: Vec<String> = mapped.decimal.iter().map(|argument| string(argument)).collect();
        let _ = writeln!(toml, "decimal = [{}]", decimal.join(", "));
    }
    let mut effect = Vec::new();
    match &mapped.records {
        Some(Records::Exactly(count)) => effect.push(format!("records = {count}")),
        Some(Records::From(text)) => effect.push(format!("records = {}", string(text))),
        None => {}
    }
    if class == ActionClass::Read {
        effect.push(String::from("reversible = true"));
    }
    if !effect.is_empty() {
        let _ = writeln!(toml, "effect = {{ {} }}", effect.join(", "));
    }
}

/// What a person should know of a definition: what it claims, and what policy cannot see.
pub(super) fn remarks(definition: &Value, decimals: &BTreeSet<ArgumentPath>) -> Vec<(NoteKind, String)> {
    let mut remarks = Vec::new();
    if let Some(annotations) = definition.get("annotations").and_then(Value::as_object) {
        let mut claims: Vec<String> = annotations
            .iter()
            .filter(|(name, value)| name.ends_with("Hint") && value.is_boolean())
            .map(|(name, value)| format!("{} = {value}", one_line(name)))
            .collect();
        claims.sort();
        if !claims.is_empty() {
            remarks
                .push((NoteKind::Claims, format!("it says of itself, which is not believed: {}", claims.join(", "))));
        }
    }
    let shape = json_schema::read(definition.get("inputSchema").unwrap_or(&Value::Null), decimals);
    if !shape.opaque.is_empty() {
        let name = |name: &String| match name.as_str() {
            "*" => String::from("undeclared arguments, which are let through"),
            name => format!("`{}`", one_line(name)),
        };
        let names: Vec<String> = shape.opaque.iter().take(20).map(name).collect();
        let more = if shape.opaque.len() > names.len() { " and more" } else { "" };
        remarks.push((NoteKind::Opaque, format!("policy cannot see {}{more}", names.join(", "))));
    }
    if has_hidden(definition) {
        remarks.push((NoteKind::Claims, String::from("its definition has characters that a reader does not see")));
    }
    remarks
}

fn has_hidden(value: &Value) -> bool {
    let hidden =
        |text: &str| text.chars().any(|character| is_hidden(character) && !matches!(character, '\n' | '\r' | '\t'));
    match value {
        Value::String(text) => hidden(text),
        Value::Array(elements) => elements.iter().any(has_hidden),
        Value::Object(members) => members.iter().any(|(name, member)| hidden(name) || has_hidden(member)),
        _ => false,
    }
}

/// A system's first file.
pub(super) fn start(system: &SystemName, upstream: &Upstream, environment: Environment) -> String {
    let mut toml = format!(
        "title = {}\nenvironment = \"{environment}\"\nrisk = \"high\"    # low or high\n# domains = [\"hr\"]    # the data that it holds\n\
         # minimum = [\"{system}:read\"]    # the least that its users need\n\n[upstream]\n",
        string(system.as_str())
    );
    match upstream {
        Upstream::Stdio { command, args, env, secret_env, shared } => {
            let words: Vec<String> = std::iter::once(command).chain(args).map(|word| string(word)).collect();
            let _ = writeln!(toml, "stdio = [{}]", words.join(", "));
            let pairs = |pairs: Vec<(&String, &str)>| {
                let pairs: Vec<String> =
                    pairs.iter().map(|(name, value)| format!("{} = {}", key(name), string(value))).collect();
                pairs.join(", ")
            };
            if !env.is_empty() {
                let env = pairs(env.iter().map(|(name, value)| (name, value.as_str())).collect());
                let _ = writeln!(toml, "env = {{ {env} }}");
            }
            if secret_env.is_empty() {
                let _ = writeln!(toml, "# secret_env = {{ API_KEY = \"{system}/api-key\" }}    # from the vault");
            } else {
                let env = pairs(secret_env.iter().map(|(name, value)| (name, value.as_str())).collect());
                let _ = writeln!(toml, "secret_env = {{ {env} }}");
            }
            if *shared {
                toml.push_str("shared = true    # one child serves all principals\n");
            }
        }
        Upstream::Client(kind) => {
            let _ = writeln!(toml, "client = \"{}\"", kind.as_str());
        }
        Upstream::Http { url, credential, accounts } => {
            let _ = writeln!(toml, "url = {}", string(url.as_str()));
            match credential {
                Some(HttpCredential::Token(client)) => {
                    let all = one_table(client.written(), &client.scopes);
                    let _ = writeln!(toml, "client_credentials = {all}");
                }
                Some(HttpCredential::Header(credential)) => {
                    let (header, prefix) = (string(&credential.header), string(&credential.prefix));
                    let secret = &credential.secret;
                    let _ = writeln!(
                        toml,
                        "credential = {{ header = {header}, prefix = {prefix}, secret = \"{secret}\" }}"
                    );
                }
                None => {
                    let _ = writeln!(
                        toml,
                        "# credential = {{ header = \"authorization\", prefix = \"Bearer \", secret = \"{system}/token\" }}"
                    );
                }
            }
            if let Some(accounts) = accounts {
                let all = one_table(accounts.written(), &accounts.client.scopes);
                let _ = writeln!(toml, "accounts = {all}");
            }
        }
    }
    toml
}

/// A client of an authorization server, in one line.
fn one_table(texts: BTreeMap<&'static str, String>, scopes: &BTreeSet<Scope>) -> String {
    let all: Vec<String> = texts.iter().map(|(key, text)| format!("{key} = {}", string(text))).collect();
    let scopes: Vec<String> = scopes.iter().map(|scope| string(scope.as_str())).collect();
    format!("{{ {}, scopes = [{}] }}", all.join(", "), scopes.join(", "))
}

/// A TOML key, quoted only where it must be.
pub(crate) fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { string(name) }
}

/// A TOML basic string.
pub(crate) fn string(text: &str) -> String {
    quoted(text, |hidden| format!("\\U{hidden:08X}"))
}

/// Text for a comment: one line, short, every character visible.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = words(text);
    if let Some((end, _)) = line.char_indices().nth(COMMENT_CHARS_MAX) {
        line.truncate(end);
        line.push('…');
    }
    visible(&line)
}

/// The same, whole.
pub(crate) fn whole_line(text: &str) -> String {
    visible(&words(text))
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
