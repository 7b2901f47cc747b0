//! What becomes of a result before the caller gets it: obligations are
//! discharged here. Bytes pass untouched unless an obligation says otherwise.
//! What cannot be discharged withholds the result; nothing here allows anything.

use bailiwick_model::decision::Obligation;
use bailiwick_pdp::catalogue::{FieldPath, FieldStep, Tool};
use serde_json::{Map, Value, json};

/// The text that stands where a string was masked.
const MASKED: &str = "[masked]";
/// Members of a tool result that masking understands; others are left out.
const MEMBERS_KEPT: [&str; 4] = ["content", "structuredContent", "isError", "resultType"];

/// What must be done with the results of one call.
#[derive(Debug, Default, Clone)]
pub(crate) struct Duties {
    bytes_max: Option<u64>,
    masks: Option<Masks>,
}

/// Field classes to mask, and where their fields stand.
#[derive(Debug, Clone)]
struct Masks {
    classes: Vec<String>,
    fields: Vec<FieldPath>,
    /// Whether anybody declared where the fields stand; if not, nothing can be shown.
    declared: bool,
}

/// Why a result was not given to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// It has more bytes than policy lets through.
    TooLarge,
    /// Fields must be masked, and the result has no form in which they can be found.
    Unmaskable,
}

impl Withheld {
    /// For programs.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "result_too_large",
            Self::Unmaskable => "result_unmaskable",
        }
    }

    /// For people and models.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::TooLarge => "the result is larger than policy lets through",
            Self::Unmaskable => "parts of this result must be masked, and it has no form in which they can be found",
        }
    }

    /// What would help.
    pub(crate) const fn help(self) -> &'static str {
        match self {
            Self::TooLarge => "ask for less: a narrower query, fewer records, a part of the file",
            Self::Unmaskable => {
                "use a tool that returns structured content, or ask an operator to declare the tool's field classes"
            }
        }
    }
}

impl Duties {
    /// Reads the obligations of a call of `tool`; `None` is a method that is no tool.
    pub(crate) fn of(obligations: &[Obligation], tool: Option<&Tool>) -> Self {
        let mut duties = Self::default();
        let mut classes = Vec::new();
        for obligation in obligations {
            match obligation {
                Obligation::CapturePayload => {}
                Obligation::ResultBytesMax { bytes } => {
                    duties.bytes_max = Some(duties.bytes_max.map_or(*bytes, |max| max.min(*bytes)));
                }
                Obligation::Mask { field_class } => classes.push(field_class.clone()),
            }
        }
        if classes.is_empty() {
            return duties;
        }
        // A classified tool that declares no field of any class has nothing to mask; one that nobody classified, and
        // a method that is no tool, may hold anything.
        let declared = tool.is_some_and(|tool| tool.classified);
        let field_classes = tool.map(|tool| &tool.field_classes).filter(|_| declared);
        if declared && field_classes.is_some_and(std::collections::BTreeMap::is_empty) {
            return duties;
        }
        let fields =
            classes.iter().flat_map(|class| field_classes.and_then(|all| all.get(class)).into_iter().flatten());
        let fields = fields.cloned().collect();
        duties.masks = Some(Masks { classes, fields, declared });
        duties
    }

    /// Whether the result must be held back whole before any of it is shown.
    pub(crate) const fn hold_whole(&self) -> bool {
        self.bytes_max.is_some() || self.masks.is_some()
    }

    /// Whether what precedes the result (progress, log messages) may hold what must be masked.
    pub(crate) const fn masks(&self) -> bool {
        self.masks.is_some()
    }

    /// Discharges the duties on a raw `result`. `Ok(None)`: its bytes may be passed on as they are.
    pub(crate) fn discharge(&self, result: &[u8]) -> Result<Option<Vec<u8>>, Withheld> {
        self.check_size(result)?;
        let Some(masks) = &self.masks else { return Ok(None) };
        let Ok(Value::Object(mut result)) = serde_json::from_slice(result) else {
            return Err(Withheld::Unmaskable);
        };
        masks.mask_result(&mut result)?;
        serde_json::to_vec(&result).map(Some).map_err(|_| Withheld::Unmaskable)
    }

    /// Discharges the duties on a raw `error`. Its text is free text: its code is all that a mask can leave.
    pub(crate) fn discharge_error(&self, error: &[u8]) -> Result<Option<Vec<u8>>, Withheld> {
        self.check_size(error)?;
        if self.masks.is_none() {
            return Ok(None);
        }
        let parsed: Value = serde_json::from_slice(error).map_err(|_| Withheld::Unmaskable)?;
        let code = parsed.get("code").filter(|code| code.is_i64()).ok_or(Withheld::Unmaskable)?;
        let error = json!({ "code": code, "message": "the tool reported an error; its text is withheld by policy" });
        Ok(Some(error.to_string().into_bytes()))
    }

    fn check_size(&self, raw: &[u8]) -> Result<(), Withheld> {
        let bytes = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        if self.bytes_max.is_some_and(|max| bytes > max) { Err(Withheld::TooLarge) } else { Ok(()) }
    }
}

impl Masks {
    fn mask_result(&self, result: &mut Map<String, Value>) -> Result<(), Withheld> {
        if !self.declared || result.get("resultType").is_some_and(|kind| kind != "complete") {
            return Err(Withheld::Unmaskable);
        }
        result.retain(|name, _| MEMBERS_KEPT.contains(&name.as_str()));
        self.mask_content(result)?;
        result.insert("_meta".to_owned(), json!({ "bailiwick/masked": self.classes }));
        Ok(())
    }

    /// Masks structured content and text alike, so that they go on telling the same.
    fn mask_content(&self, result: &mut Map<String, Value>) -> Result<(), Withheld> {
        if let Some(structured) = result.get_mut("structuredContent") {
            if !structured.is_object() && !structured.is_array() {
                return Err(Withheld::Unmaskable);
            }
            self.mask(structured);
            let text = structured.to_string();
            // The text repeats the structured content, and where it says something else there is no telling what.
            result.insert("content".to_owned(), json!([{ "type": "text", "text": text }]));
            return Ok(());
        }
        let failed = result.get("isError") == Some(&Value::Bool(true));
        let Some(Value::Array(content)) = result.get_mut("content") else { return Err(Withheld::Unmaskable) };
        for block in content {
            match self.mask_block(block) {
                Some(masked) => *block = masked,
                None if failed => *block = json!({ "type": "text", "text": "(an error text, withheld by policy)" }),
                None => return Err(Withheld::Unmaskable),
            }
        }
        Ok(())
    }

    fn mask_block(&self, block: &Value) -> Option<Value> {
        if block.get("type") != Some(&Value::String("text".to_owned())) {
            return None;
        }
        let mut parsed: Value = serde_json::from_str(block.get("text")?.as_str()?).ok()?;
        if !parsed.is_object() && !parsed.is_array() {
            return None;
        }
        self.mask(&mut parsed);
        Some(json!({ "type": "text", "text": parsed.to_string() }))
    }

    fn mask(&self, value: &mut Value) {
        for field in &self.fields {
            mask_at(value, field.steps());
        }
    }
}

/// Masks what `steps` lead to. A name before an array means that member of each of its elements: in doubt more is
/// masked.
fn mask_at(value: &mut Value, steps: &[FieldStep]) {
    let Some((step, rest)) = steps.split_first() else { return mask_whole(value) };
    match (step, value) {
        (FieldStep::Every, Value::Array(items)) => items.iter_mut().for_each(|item| mask_at(item, rest)),
        (FieldStep::Every, Value::Object(members)) => members.values_mut().for_each(|member| mask_at(member, rest)),
        (FieldStep::Name(name), Value::Object(members)) => {
            if let Some(member) = members.get_mut(name) {
                mask_at(member, rest);
            }
        }
        (FieldStep::Name(_), Value::Array(items)) => items.iter_mut().for_each(|item| mask_at(item, steps)),
        _ => {}
    }
}

/// Masks a value but keeps its type and shape, so that it still fits the tool's output schema.
fn mask_whole(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => *flag = false,
        Value::Number(number) => *number = 0.into(),
        Value::String(text) => MASKED.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(mask_whole),
        Value::Object(members) => members.values_mut().for_each(mask_whole),
    }
}

#[cfg(test)]
mod tests;
