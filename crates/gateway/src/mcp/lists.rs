//! Lists as one caller may see them: items that it could never use are left out
//! and counted, the bytes of the others stay as the upstream wrote them. A list
//! is never silently empty.

use std::collections::BTreeMap;

use bailiwick_model::{
    decision::{Reason, ReasonCode},
    name::ToolName,
};
use bailiwick_pdp::visibility::Visibility;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    mcp::message::raw,
    upstream::{Era, ListKind},
};

/// Items of one page of a list that are looked at; an upstream with longer pages breaks the protocol's spirit.
pub(crate) const ITEMS_PER_PAGE_MAX: usize = 5_000;
/// Where a result says what it leaves out.
pub(crate) const HIDDEN_META: &str = "bailiwick/hidden";

/// One page as the upstream sent it, member by member.
type Members = BTreeMap<String, Box<RawValue>>;

/// A page that is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PageError {
    #[error("the server's list has no form")]
    Malformed,
    #[error("the server's list is too long")]
    TooLong,
}

/// How many items are left out for one reason.
#[derive(Debug, PartialEq)]
struct Cause {
    count: usize,
    message: String,
    help: Option<String>,
}

/// What was left out, by reason.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Hidden {
    count: usize,
    shown: usize,
    reasons: BTreeMap<(ReasonCode, Option<String>), Cause>,
    quarantined: Vec<String>,
}

impl Hidden {
    /// Counts one that is shown.
    pub(crate) const fn show(&mut self) {
        self.shown += 1;
    }

    /// Counts one that is not.
    pub(crate) fn add(&mut self, name: &str, reason: &Reason) {
        self.count += 1;
        let key = (reason.code, reason.rule.as_ref().map(ToString::to_string));
        let cause = || Cause { count: 0, message: reason.message.clone(), help: reason.help.clone() };
        self.reasons.entry(key).or_insert_with(cause).count += 1;
        // A name that is no tool's name is the server's prose: nobody approved it.
        if reason.code == ReasonCode::DefinitionChanged && name.parse::<ToolName>().is_ok() {
            self.quarantined.push(name.to_owned());
        }
    }

    /// Adds another list's.
    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.shown += other.shown;
        self.quarantined.extend(other.quarantined);
        for (key, cause) in other.reasons {
            let Cause { count, message, help } = cause;
            self.reasons.entry(key).or_insert(Cause { count: 0, message, help }).count += count;
        }
    }

    /// For programs; `None` if nothing was left out.
    pub(crate) fn object(&self) -> Option<Value> {
        if self.count == 0 {
            return None;
        }
        let reasons: Vec<Value> = self
            .reasons
            .iter()
            .map(|((code, rule), Cause { count, message, help })| {
                json!({ "code": code.as_str(), "rule": rule, "count": count, "message": message, "help": help })
            })
            .collect();
        let mut object = json!({ "count": self.count, "reasons": reasons });
        if let (false, Some(members)) = (self.quarantined.is_empty(), object.as_object_mut()) {
            members.insert("quarantined".to_owned(), json!(self.quarantined));
        }
        Some(object)
    }

    /// For the model, when nothing is left to show; `None` if something is.
    pub(crate) fn text(&self, what: &str) -> Option<String> {
        if self.shown > 0 || self.count == 0 {
            return None;
        }
        let reasons: Vec<String> = self
            .reasons
            .values()
            .map(|Cause { count, message, help }| match help {
                Some(help) => format!("{count} because {message} (what would help: {help})"),
                None => format!("{count} because {message}"),
            })
            .collect();
        Some(format!("All {} {what} of this system are hidden from you: {}.", self.count, reasons.join("; ")))
    }
}

/// A filtered page.
#[derive(Debug)]
pub(crate) struct Page {
    members: Members,
    /// The items that are shown, byte for byte.
    items: Vec<Box<RawValue>>,
    /// What is not.
    pub(crate) hidden: Hidden,
    list: ListKind,
}

/// The part of an item that it is judged by.
#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

impl Page {
    /// Filters a page. `judge` is asked once per item, with its name and its bytes.
    pub(crate) fn filter(
        result: &str,
        list: ListKind,
        judge: impl Fn(&str, &RawValue) -> Visibility,
    ) -> Result<Self, PageError> {
        let mut members: Members = serde_json::from_str(result).map_err(|_| PageError::Malformed)?;
        let items = members.remove(list.member()).ok_or(PageError::Malformed)?;
        let items: Vec<Box<RawValue>> = serde_json::from_str(items.get()).map_err(|_| PageError::Malformed)?;
        if items.len() > ITEMS_PER_PAGE_MAX {
            return Err(PageError::TooLong);
        }
        let mut page = Self { members, items: Vec::with_capacity(items.len()), hidden: Hidden::default(), list };
        for item in items {
            let name = serde_json::from_str::<Named>(item.get()).ok().and_then(|named| named.name).unwrap_or_default();
            match judge(&name, &item) {
                Visibility::Shown => page.items.push(item),
                Visibility::Hidden(reason) => page.hidden.add(&name, &reason),
            }
        }
        page.hidden.shown = page.items.len();
        Ok(page)
    }

    /// A page to which others are appended.
    pub(crate) fn empty(list: ListKind) -> Self {
        Self { members: Members::new(), items: Vec::new(), hidden: Hidden::default(), list }
    }

    /// Which list it is of.
    pub(crate) const fn list(&self) -> ListKind {
        self.list
    }

    /// Appends another page's items, each as `spelt`; what has no spelling is left out.
    pub(crate) fn append(&mut self, other: Self, spelt: impl Fn(&RawValue) -> Option<Box<RawValue>>) {
        self.items.extend(other.items.iter().filter_map(|item| spelt(item)));
        self.hidden.merge(other.hidden);
    }

    /// Where the next page begins.
    pub(crate) fn next_cursor(&self) -> Option<String> {
        self.members.get("nextCursor").and_then(|raw| serde_json::from_str(raw.get()).ok())
    }

    /// The page as a result of `era`: private to this caller, and saying what it leaves out.
    pub(crate) fn into_result(mut self, era: Era) -> String {
        let mut meta: serde_json::Map<String, Value> =
            self.members.remove("_meta").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        if let Some(hidden) = self.hidden.object() {
            meta.insert(HIDDEN_META.to_owned(), hidden);
        }
        if !meta.is_empty() {
            self.members.insert("_meta".to_owned(), raw(&Value::Object(meta)));
        }
        match era {
            Era::Stateless => {
                self.members.insert("resultType".to_owned(), raw(&json!("complete")));
                self.members.insert("cacheScope".to_owned(), raw(&json!("private")));
                self.members.entry("ttlMs".to_owned()).or_insert_with(|| raw(&json!(0)));
            }
            Era::Handshake => {
                for name in ["resultType", "cacheScope", "ttlMs"] {
                    self.members.remove(name);
                }
            }
        }
        let items: Vec<&str> = self.items.iter().map(|item| item.get()).collect();
        let mut text = format!("{{\"{}\":[{}]", self.list.member(), items.join(","));
        for (name, value) in &self.members {
            text.push(',');
            text.push_str(&Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(code: ReasonCode) -> Visibility {
        Visibility::Hidden(Reason {
            code,
            rule: None,
            principal: None,
            message: "no policy permits it".to_owned(),
            help: Some("ask".to_owned()),
            retry_after_s: None,
        })
    }

    fn judge(name: &str, _: &RawValue) -> Visibility {
        match name {
            "read" => Visibility::Shown,
            "odd" => hidden(ReasonCode::DefinitionChanged),
            _ => hidden(ReasonCode::NoPermit),
        }
    }

    #[test]
    fn what_is_shown_keeps_its_bytes_and_the_rest_is_told() {
        let shown = r#"{ "name":"read", "vendor" : 1.0e2,"inputSchema":{}}"#;
        let result = format!(
            r#"{{"tools":[{shown},{{"name":"write"}},{{"name":"odd"}},{{"n":1}}],"nextCursor":"c","ttlMs":5,"cacheScope":"public","x":1.10}}"#
        );
        let page = Page::filter(&result, ListKind::Tools, judge).unwrap();
        assert_eq!(page.next_cursor().as_deref(), Some("c"));
        let text = page.into_result(Era::Stateless);
        assert!(text.contains(shown) && text.contains(r#""x":1.10"#), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["tools"].as_array().unwrap().len(), 1);
        assert_eq!(value["cacheScope"], "private");
        assert_eq!(value["ttlMs"], 5);
        assert_eq!(value["resultType"], "complete");
        assert_eq!(value["_meta"][HIDDEN_META]["count"], 3);
        assert_eq!(value["_meta"][HIDDEN_META]["quarantined"], json!(["odd"]));
        let old: Value =
            serde_json::from_str(&Page::filter(&result, ListKind::Tools, judge).unwrap().into_result(Era::Handshake))
                .unwrap();
        assert!(old.get("cacheScope").is_none() && old.get("resultType").is_none());
    }

    #[test]
    fn an_empty_list_says_why() {
        let page = Page::filter(r#"{"tools":[{"name":"a"},{"name":"b"}]}"#, ListKind::Tools, judge).unwrap();
        let text = page.hidden.text("tools").unwrap();
        assert!(
            text.contains("All 2 tools") && text.contains("no policy permits it") && text.contains("ask"),
            "{text}"
        );
        assert!(
            Page::filter(r#"{"tools":[{"name":"read"},{"name":"b"}]}"#, ListKind::Tools, judge)
                .unwrap()
                .hidden
                .text("tools")
                .is_none()
        );
        assert!(Page::filter(r#"{"tools":[]}"#, ListKind::Tools, judge).unwrap().hidden.object().is_none());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["[]", "{}", r#"{"tools":{}}"#, r#"{"tools":1}"#] {
            assert_eq!(Page::filter(bad, ListKind::Tools, judge).unwrap_err(), PageError::Malformed, "{bad}");
        }
        let long = format!(r#"{{"tools":[{}1]}}"#, "1,".repeat(ITEMS_PER_PAGE_MAX));
        assert_eq!(Page::filter(&long, ListKind::Tools, judge).unwrap_err(), PageError::TooLong);
    }
}
