//! Actions and times in words that people know.

use bailiwick_engine::authorization::{ActionWords, Lasting};
use bailiwick_model::operation::{ActionClass, ActionTag};
use jiff::Timestamp;

/// The value and the words of a choice.
pub(crate) fn choice(lasting: Lasting, until: Timestamp) -> (&'static str, String) {
    let (value, words) = match lasting {
        Lasting::Session => ("session", "this session"),
        Lasting::Day => ("day", "one day"),
        Lasting::Month => ("month", "30 days"),
    };
    (value, format!("{words}, until {}", minute(&until)))
}

/// A time for people, to the minute.
pub(crate) fn minute(at: &Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// What a class of actions does.
const fn class_words(class: ActionClass) -> &'static str {
    match class {
        ActionClass::Read => "look things up, and change nothing",
        ActionClass::Write => "create and change things",
        ActionClass::Delete => "delete things",
        ActionClass::Execute => "run programs or code",
    }
}

/// What else an action does.
const fn tag_words(tag: ActionTag) -> &'static str {
    match tag {
        ActionTag::Egress => "sends data out of the organisation",
        ActionTag::Billing => "costs or moves money",
        ActionTag::Production => "touches production",
        ActionTag::Export => "takes data out in bulk",
        ActionTag::PermissionChange => "changes who may do what",
        ActionTag::Bulk => "touches many records at once",
    }
}

/// The name of an action for people.
pub(crate) fn name(action: &ActionWords) -> String {
    match action {
        ActionWords::Class { class: ActionClass::Read, .. } => "Read".to_owned(),
        ActionWords::Class { class: ActionClass::Write, .. } => "Write".to_owned(),
        ActionWords::Class { class: ActionClass::Delete, .. } => "Delete".to_owned(),
        ActionWords::Class { class: ActionClass::Execute, .. } => "Execute".to_owned(),
        ActionWords::Tool { title, .. } => title.clone(),
        ActionWords::Method(method) => method.clone(),
    }
}

/// What an action does, for people.
pub(crate) fn effect(action: &ActionWords) -> String {
    match action {
        ActionWords::Class { class, .. } => class_words(*class).to_owned(),
        ActionWords::Method(_) => "a part of the protocol that calls no tool".to_owned(),
        ActionWords::Tool { class, tags, .. } => {
            let tags = tags.iter().map(|tag| tag_words(*tag));
            std::iter::once(class_words(*class)).chain(tags).collect::<Vec<_>>().join("; ")
        }
    }
}

/// What the arguments of an action may be, one after the other: an argument's name, and words about its values.
pub(crate) fn only(action: &ActionWords) -> &[(String, String)] {
    match action {
        ActionWords::Tool { only, .. } => only,
        ActionWords::Class { .. } | ActionWords::Method(_) => &[],
    }
}

/// The titles of what a class covers today.
pub(crate) fn covers(action: &ActionWords) -> &[String] {
    match action {
        ActionWords::Class { tools, .. } => tools,
        ActionWords::Tool { .. } | ActionWords::Method(_) => &[],
    }
}
