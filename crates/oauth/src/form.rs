//! The body of a request to an OAuth endpoint: `application/x-www-form-urlencoded`
//! (RFC 6749 §3.2).
//!
//! Strict where leniency helps an attacker: a parameter that stands twice is
//! an error, and so is an escape that does not decode.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::name::Scope;
use url::Url;

use crate::{
    authorization_details::AuthorizationDetails,
    error::{ErrorCode, OAuthError},
};

/// Bytes of one body.
pub const FORM_BYTES_MAX: usize = 64 * 1_024;
/// Parameters of one body.
pub const PARAMETERS_MAX: usize = 32;
/// Scopes that one token may be asked for.
pub const SCOPES_MAX: usize = 64;
/// Bytes of one resource indicator.
pub const RESOURCE_BYTES_MAX: usize = 2_048;

/// A decoded form: every parameter once, `resource` aside. It never prints what it holds.
pub struct Form {
    parameters: BTreeMap<String, String>,
    resources: Vec<String>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.parameters.keys()).finish()
    }
}

impl Form {
    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        if body.len() > FORM_BYTES_MAX {
            return Err(invalid(&format!("the body has more than {FORM_BYTES_MAX} bytes")));
        }
        let mut form = Self { parameters: BTreeMap::new(), resources: Vec::new() };
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            if index >= PARAMETERS_MAX {
                return Err(invalid(&format!("the body has more than {PARAMETERS_MAX} parameters")));
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let mut half = || decode(halves.next().unwrap_or_default());
            let malformed = || invalid("the body is not a well-formed form");
            let (name, value) = (half().ok_or_else(malformed)?, half().ok_or_else(malformed)?);
            if name == "resource" {
                form.resources.push(value);
            } else if form.parameters.insert(name, value).is_some() {
                return Err(invalid("a parameter stands twice"));
            }
        }
        Ok(form)
    }

    /// A parameter's value; an empty one counts as absent (RFC 6749 §3.1).
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.remove(name).filter(|value| !value.is_empty())
    }

    /// Takes a parameter if it has this value, and says whether it had.
    pub fn take_if(&mut self, name: &str, value: &str) -> bool {
        let has = self.parameters.get(name).is_some_and(|found| found == value);
        if has {
            self.parameters.remove(name);
        }
        has
    }

    /// A parameter that must be there.
    pub fn require(&mut self, name: &str) -> Result<String, OAuthError> {
        self.take(name).ok_or_else(|| invalid(&format!("`{name}` is missing")))
    }

    /// A parameter of a type of ours; what does not parse is an error and never absent.
    pub fn parsed<T: std::str::FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, OAuthError> {
        self.take(name)
            .map(|text| text.parse().map_err(|_| invalid(&format!("`{name}` is not {expected}"))))
            .transpose()
    }

    /// The scopes that are asked for; none means that the server chooses.
    pub fn scopes(&mut self) -> Result<BTreeSet<Scope>, OAuthError> {
        self.take("scope").map_or(Ok(BTreeSet::new()), |text| parse_scopes(&text))
    }

    /// The tools and arguments that a token is to be for (RFC 9396); `None` is all that the scopes open.
    pub fn authorization_details(&mut self) -> Result<Option<AuthorizationDetails>, OAuthError> {
        self.take("authorization_details").map(|text| AuthorizationDetails::parse(&text)).transpose()
    }

    /// The same where no task can be made together with the token.
    pub fn tool_details(&mut self) -> Result<Option<AuthorizationDetails>, OAuthError> {
        self.authorization_details()?.map(AuthorizationDetails::without_task).transpose()
    }

    /// The one resource that a token is to be for, byte for byte (RFC 8707 §2).
    pub fn resource(&mut self) -> Result<String, OAuthError> {
        let missing = "`resource` is missing\nhint: name the URL that the token is for";
        self.optional_resource()?.ok_or_else(|| OAuthError::new(ErrorCode::InvalidTarget, missing))
    }

    /// The same where something else may tell what the token is for.
    pub fn optional_resource(&mut self) -> Result<Option<String>, OAuthError> {
        let unfit = |description: &str| OAuthError::new(ErrorCode::InvalidTarget, description);
        let resource = match (self.resources.pop(), self.resources.is_empty()) {
            (Some(resource), true) => resource,
            (None, _) => return Ok(None),
            (Some(_), false) => return Err(unfit("`resource` stands twice\nhint: ask for one token per resource")),
        };
        let url = Url::parse(&resource).map_err(|_| unfit("`resource` is not an absolute URL"))?;
        if resource.len() > RESOURCE_BYTES_MAX || url.fragment().is_some() || !url.has_host() {
            return Err(unfit("`resource` is not an absolute URL without fragment"));
        }
        Ok(Some(resource))
    }
}

fn parse_scopes(text: &str) -> Result<BTreeSet<Scope>, OAuthError> {
    let unfit = || OAuthError::new(ErrorCode::InvalidScope, "`scope` must be scopes separated by single spaces");
    let scopes: BTreeSet<Scope> =
        text.split(' ').map(|scope| scope.parse().map_err(|_| unfit())).collect::<Result<_, _>>()?;
    if scopes.len() > SCOPES_MAX {
        return Err(OAuthError::new(ErrorCode::InvalidScope, &format!("at most {SCOPES_MAX} scopes")));
    }
    Ok(scopes)
}

/// Undoes `+` and percent-escapes; `None` where that does not give UTF-8.
fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ => *byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// A request that cannot be read.
pub(crate) fn invalid(description: &str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}
