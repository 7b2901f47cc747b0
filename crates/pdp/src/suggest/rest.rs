//! A role file without what a suggestion puts in permits' place. Everything else in it, comments too, stays.

use bailiwick_model::name::SystemName;
use toml_edit::{DocumentMut, Item, Value};

use super::NoSuggestion;

/// The file without its `allow` entries of that system, or of any.
pub(super) fn without_allow(text: &str, system: Option<&SystemName>) -> Result<String, NoSuggestion> {
    let unreadable = || NoSuggestion::new("the role's file is not TOML", "`bailiwick policy validate` says where");
    let mut document: DocumentMut = text.parse().map_err(|_| unreadable())?;
    if let Some(Item::Value(Value::Array(allow))) = document.get_mut("allow") {
        let goes = |pattern: &str| {
            let named = pattern.split(['.', ':']).next().unwrap_or_default();
            system.is_none_or(|system| system.as_str() == named)
        };
        allow.retain(|entry| !entry.as_str().is_none_or(goes));
    }
    Ok(document.to_string())
}
