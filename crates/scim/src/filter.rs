//! Filters (RFC 7644 §3.4.2.2) over resources as they are sent: what can be asked for can be filtered by. Not understood:
//! `gt`, `ge`, `lt`, `le`, as nothing that we keep has an order that a directory needs.

use serde_json::Value;

use crate::{error::ScimError, path::AttributePath};

/// Bytes of one filter.
pub const FILTER_BYTES_MAX: usize = 2_048;
/// How deep a filter may be nested.
const DEPTH_MAX: usize = 8;
/// Attributes whose values have a case.
const CASE_EXACT: [&str; 2] = ["id", "externalid"];

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The attribute is there: `pr`.
    Present(AttributePath),
    /// It compares with a value.
    Compare(AttributePath, Comparison, Value),
    /// Some value of it fits: `emails[type eq "work"]`.
    Within(AttributePath, Box<Filter>),
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// One of both.
    Or(Box<Filter>, Box<Filter>),
    /// Not this.
    Not(Box<Filter>),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `eq`.
    Equal,
    /// `ne`.
    Different,
    /// `co`.
    Contains,
    /// `sw`.
    StartsWith,
    /// `ew`.
    EndsWith,
}

impl Filter {
    /// Reads a whole filter.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let mut reader = Reader::of(text)?;
        let filter = reader.any()?;
        match reader.next() {
            None => Ok(filter),
            Some(_) => Err(ScimError::filter("the filter goes on where it should end")),
        }
    }

    /// The one text that an attribute must be equal to, if that alone is asked: found without looking at every resource.
    pub fn sole_equality(&self, attribute: &str) -> Option<&str> {
        match self {
            Self::Compare(path, Comparison::Equal, Value::String(text))
                if path.name == attribute && path.sub.is_none() =>
            {
                Some(text)
            }
            _ => None,
        }
    }

    /// Whether a resource, or a value of one of its attributes, fits.
    pub fn fits(&self, resource: &Value) -> bool {
        match self {
            Self::Present(path) => values(resource, path).iter().any(|value| is_there(value)),
            Self::Compare(path, Comparison::Different, wanted) => {
                !values(resource, path).into_iter().any(|value| compares(path, value, Comparison::Equal, wanted))
            }
            Self::Compare(path, how, wanted) => {
                values(resource, path).into_iter().any(|value| compares(path, value, *how, wanted))
            }
            Self::Within(path, inner) => values(resource, path).into_iter().any(|value| inner.fits(value)),
            Self::And(one, other) => one.fits(resource) && other.fits(resource),
            Self::Or(one, other) => one.fits(resource) || other.fits(resource),
            Self::Not(inner) => !inner.fits(resource),
        }
    }
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        _ => true,
    }
}

/// Every value that a path leads to.
fn values<'a>(resource: &'a Value, path: &AttributePath) -> Vec<&'a Value> {
    if path.foreign {
        return Vec::new();
    }
    let found = flat(member(resource, &path.name));
    match &path.sub {
        Some(sub) => found.into_iter().flat_map(|value| flat(member(value, sub))).collect(),
        None => found,
    }
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn flat(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None => Vec::new(),
        Some(Value::Array(all)) => all.iter().collect(),
        Some(value) => vec![value],
    }
}

fn compares(path: &AttributePath, value: &Value, how: Comparison, wanted: &Value) -> bool {
    // `emails eq "a@b"` means the values of the emails.
    let value = match value {
        Value::Object(_) => member(value, "value").unwrap_or(&Value::Null),
        value => value,
    };
    match (value, wanted) {
        (Value::String(value), Value::String(wanted)) => {
            if path.sub.is_none() && CASE_EXACT.contains(&path.name.as_str()) {
                return texts(value, how, wanted);
            }
            texts(&value.to_lowercase(), how, &wanted.to_lowercase())
        }
        (Value::Bool(value), Value::String(wanted)) => {
            how == Comparison::Equal && wanted.eq_ignore_ascii_case(if *value { "true" } else { "false" })
        }
        (value, wanted) => how == Comparison::Equal && value == wanted,
    }
}

fn texts(value: &str, how: Comparison, wanted: &str) -> bool {
    match how {
        Comparison::Equal => value == wanted,
        Comparison::Different => value != wanted,
        Comparison::Contains => value.contains(wanted),
        Comparison::StartsWith => value.starts_with(wanted),
        Comparison::EndsWith => value.ends_with(wanted),
    }
}

/// A word, a value, or a bracket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Word(String),
    Text(String),
    Open(char),
    Close(char),
}

/// Reads filters out of tokens.
pub(crate) struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth_left: usize,
}

impl Reader {
    pub(crate) fn of(text: &str) -> Result<Self, ScimError> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(ScimError::filter(format!("a filter has at most {FILTER_BYTES_MAX} bytes")));
        }
        Ok(Self { tokens: tokens(text)?.into_iter().peekable(), depth_left: DEPTH_MAX })
    }

    pub(crate) fn next(&mut self) -> Option<Token> {
        self.tokens.next()
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = |token: &Token| matches!(token, Token::Word(text) if text.eq_ignore_ascii_case(word));
        self.tokens.next_if(is).is_some()
    }

    /// Terms with `or` between them.
    pub(crate) fn any(&mut self) -> Result<Filter, ScimError> {
        self.depth_left =
            self.depth_left.checked_sub(1).ok_or_else(|| ScimError::filter("the filter is nested too deeply"))?;
        let mut filter = self.all()?;
        while self.takes("or") {
            filter = Filter::Or(Box::new(filter), Box::new(self.all()?));
        }
        self.depth_left += 1;
        Ok(filter)
    }

    /// Terms with `and` between them, which binds more.
    fn all(&mut self) -> Result<Filter, ScimError> {
        let mut filter = self.term()?;
        while self.takes("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.term()?));
        }
        Ok(filter)
    }

    fn term(&mut self) -> Result<Filter, ScimError> {
        if self.takes("not") {
            return match self.tokens.peek() {
                Some(Token::Open('(')) => Ok(Filter::Not(Box::new(self.term()?))),
                _ => Err(ScimError::filter("`not` stands before `(`")),
            };
        }
        match self.next() {
            Some(Token::Open('(')) => self.inside(')'),
            Some(Token::Word(word)) => {
                let path = AttributePath::parse(&word).map_err(|error| ScimError::filter(error.detail))?;
                if self.tokens.next_if_eq(&Token::Open('[')).is_some() {
                    return Ok(Filter::Within(path, Box::new(self.inside(']')?)));
                }
                self.comparison(path)
            }
            _ => Err(ScimError::filter("an attribute was expected in the filter")),
        }
    }

    fn inside(&mut self, close: char) -> Result<Filter, ScimError> {
        let filter = self.any()?;
        match self.next() {
            Some(Token::Close(found)) if found == close => Ok(filter),
            _ => Err(ScimError::filter(format!("`{close}` is missing in the filter"))),
        }
    }

    fn comparison(&mut self, path: AttributePath) -> Result<Filter, ScimError> {
        let Some(Token::Word(word)) = self.next() else {
            return Err(ScimError::filter("a comparison was expected in the filter"));
        };
        let how = match word.to_ascii_lowercase().as_str() {
            "pr" => return Ok(Filter::Present(path)),
            "eq" => Comparison::Equal,
            "ne" => Comparison::Different,
            "co" => Comparison::Contains,
            "sw" => Comparison::StartsWith,
            "ew" => Comparison::EndsWith,
            _ => return Err(ScimError::filter("comparisons are `eq`, `ne`, `co`, `sw`, `ew` and `pr`")),
        };
        let value = match self.next() {
            Some(Token::Text(text)) => Value::String(text),
            // Numbers, true, false, null; some directories leave the quotes of these out and put the case in.
            Some(Token::Word(word)) => serde_json::from_str(&word.to_ascii_lowercase())
                .map_err(|_| ScimError::filter("the value in the filter is neither quoted nor plain"))?,
            _ => return Err(ScimError::filter("a value is missing in the filter")),
        };
        Ok(Filter::Compare(path, how, value))
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, ScimError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' | '[' => (Token::Open(first), 1),
            ')' | ']' => (Token::Close(first), 1),
            '"' => quoted(rest)?,
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '"');
                let length = rest.find(ends).unwrap_or(rest.len());
                (Token::Word(rest.get(..length).unwrap_or_default().to_owned()), length)
            }
        };
        tokens.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

/// A JSON string at the start of a text, and how long it is.
fn quoted(text: &str) -> Result<(Token, usize), ScimError> {
    let mut read = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match read.next() {
        Some(Ok(value)) => Ok((Token::Text(value), read.byte_offset())),
        _ => Err(ScimError::filter("a quoted value in the filter does not end, or is none")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ada() -> Value {
        json!({
            "id": "usr-1", "userName": "Ada@Example.com", "externalId": "Ab1", "active": true, "displayName": "Ada Lovelace",
            "emails": [{ "value": "ada@example.com", "type": "work", "primary": true }, { "value": "a@home.example", "type": "home" }],
            "groups": [{ "value": "dgrp_1", "display": "finance" }], "name": { "givenName": "Ada" }, "nickName": null,
        })
    }

    #[test]
    fn a_filter_holds_or_does_not() {
        for (filter, expected) in [
            (r#"userName eq "ada@example.COM""#, true),
            (r#"USERNAME EQ "ada@example.com""#, true),
            (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "ada@example.com""#, true),
            (r#"userName eq "ada""#, false),
            (r#"externalId eq "Ab1""#, true),
            (r#"externalId eq "ab1""#, false),
            (r#"active eq true"#, true),
            (r#"active eq True"#, true),
            (r#"active eq "true""#, true),
            (r#"active eq false"#, false),
            (r#"emails.value eq "a@home.example""#, true),
            (r#"emails eq "ada@example.com""#, true),
            (r#"emails[type eq "work" and value co "@example.com"]"#, true),
            (r#"emails[type eq "home" and value co "@example.com"]"#, false),
            (r#"emails.type eq "home" and emails.value eq "ada@example.com""#, true),
            (r#"groups.display eq "finance""#, true),
            (r#"name.givenName sw "A" and name.givenName ew "a""#, true),
            (r#"displayName co "love""#, true),
            (r#"nickName pr"#, false),
            (r#"displayName pr and not (active eq false)"#, true),
            (r#"userName ne "bob" or active eq false"#, true),
            (r#"(userName eq "bob" or active eq true) and active eq false"#, false),
            (r#"userName eq "bob" or active eq true and active eq true"#, true),
            (r#"urn:x:y:User:department eq "a""#, false),
            (r#"displayName eq "Ada \"the\" Lovelace""#, false),
        ] {
            assert_eq!(Filter::parse(filter).map(|filter| filter.fits(&ada())), Ok(expected), "{filter}");
        }
        let equality = Filter::parse(r#"userName eq "x""#).unwrap();
        assert_eq!((equality.sole_equality("username"), equality.sole_equality("id")), (Some("x"), None));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = format!("{}active eq true{}", "(".repeat(9), ")".repeat(9));
        let long = format!("userName eq \"{}\"", "a".repeat(FILTER_BYTES_MAX));
        for filter in [
            "",
            "userName",
            "userName eq",
            "userName eq bob",
            "userName eq \"bob",
            "userName is \"bob\"",
            "userName gt \"bob\"",
            "userName eq \"a\" and",
            "userName eq \"a\" userName eq \"b\"",
            "(userName eq \"a\"",
            "userName eq \"a\")",
            "emails[value eq \"a\"",
            "emails[value eq \"a\")",
            "not userName eq \"a\"",
            "a.b.c eq \"a\"",
            "1a eq \"a\"",
            "\"userName\" eq \"a\"",
            &deep,
            &long,
        ] {
            assert_eq!(Filter::parse(filter).map_err(|error| error.kind), Err(Some("invalidFilter")), "{filter}");
        }
    }
}
