//! The Identity Assertion JWT Authorization Grant (draft-ietf-oauth-identity-assertion-authz-grant-04, which MCP's
//! Enterprise-Managed Authorization uses): one domain vouches for a user, and for a client that acts for them, to the
//! authorization server of another.

use std::collections::BTreeSet;

use bailiwick_model::{
    grant::Authentication,
    id::TokenId,
    jwk::{PublicKey, Thumbprint},
    name::Scope,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    claims::{ClaimError, Claims},
    form::SCOPES_MAX,
    jws::{SigningInput, TokenType},
};

/// Its type as token exchange names it.
pub const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// What an authorization server that takes it advertises.
pub const GRANT_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";
/// Seconds that it lives, here and at others: whoever needs it uses it at once.
pub const ID_JAG_TTL_S_MAX: i64 = 300;
/// Resources that one may name.
const RESOURCES_MAX: usize = 16;
/// Claims that would narrow what it allows, or say more of who acts, and that nothing here understands: to leave them out
/// would widen it.
const NOT_UNDERSTOOD: [&str; 4] = ["authorization_details", "act", "may_act", "tenant"];

/// What an ID-JAG says beside who signed it, for whom and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdJag {
    /// Its id.
    pub id: String,
    /// The user, as its issuer calls them.
    pub subject: String,
    /// Their address, if the issuer says that it is verified.
    pub verified_email: Option<String>,
    /// The client that it was made for, as the authorization server calls it.
    pub client: String,
    /// What it is for; empty names nothing.
    pub resources: BTreeSet<String>,
    /// What it allows at most; `None` says nothing of that.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The key that whoever presents it must prove.
    pub confirmation: Option<Thumbprint>,
    /// How the user proved who they are, where it says so.
    pub authentication: Option<Authentication>,
}

impl IdJag {
    /// Reads claims that were verified.
    pub fn read(claims: &Claims) -> Result<Self, ClaimError> {
        if let Some(name) = NOT_UNDERSTOOD.into_iter().find(|name| claims.value(name).is_some()) {
            return Err(ClaimError::Unfit { name, expected: "understood here" });
        }
        let subject = claims.text("sub")?;
        let plain = |text: &str| !text.is_empty() && text.len() <= 255 && !text.contains(char::is_control);
        if !plain(subject) {
            return Err(ClaimError::Unfit { name: "sub", expected: "1 to 255 characters" });
        }
        let email = claims.optional_text("email")?.filter(|email| plain(email)).map(str::to_owned);
        Ok(Self {
            id: claims.text("jti")?.to_owned(),
            subject: subject.to_owned(),
            verified_email: email.filter(|_| claims.value("email_verified") == Some(&Value::Bool(true))),
            client: claims.text("client_id")?.to_owned(),
            resources: resources(claims)?,
            scopes: scopes(claims)?,
            confirmation: confirmation(claims)?,
            authentication: authentication(claims)?,
        })
    }
}

fn resources(claims: &Claims) -> Result<BTreeSet<String>, ClaimError> {
    const UNFIT: ClaimError = ClaimError::Unfit { name: "resource", expected: "a URL or a few" };
    match claims.value("resource") {
        None => Ok(BTreeSet::new()),
        Some(Value::String(one)) => Ok(BTreeSet::from([one.clone()])),
        Some(Value::Array(several)) if (1..=RESOURCES_MAX).contains(&several.len()) => {
            several.iter().map(|one| one.as_str().map(str::to_owned).ok_or(UNFIT)).collect()
        }
        Some(_) => Err(UNFIT),
    }
}

fn scopes(claims: &Claims) -> Result<Option<BTreeSet<Scope>>, ClaimError> {
    const UNFIT: ClaimError = ClaimError::Unfit { name: "scope", expected: "scopes separated by single spaces" };
    let Some(text) = claims.optional_text("scope")? else { return Ok(None) };
    let scopes: BTreeSet<Scope> =
        text.split(' ').map(|scope| scope.parse().map_err(|_| UNFIT)).collect::<Result<_, _>>()?;
    if scopes.len() > SCOPES_MAX { Err(UNFIT) } else { Ok(Some(scopes)) }
}

fn confirmation(claims: &Claims) -> Result<Option<Thumbprint>, ClaimError> {
    const UNFIT: ClaimError = ClaimError::Unfit { name: "cnf", expected: "the thumbprint of a key, `jkt`, alone" };
    let Some(members) = claims.value("cnf") else { return Ok(None) };
    match members.as_object() {
        Some(members) if members.len() == 1 => {
            let thumbprint = members.get("jkt").and_then(Value::as_str).and_then(|text| text.parse().ok());
            thumbprint.map(Some).ok_or(UNFIT)
        }
        _ => Err(UNFIT),
    }
}

fn authentication(claims: &Claims) -> Result<Option<Authentication>, ClaimError> {
    const UNFIT: ClaimError = ClaimError::Unfit { name: "amr", expected: "a few words" };
    let methods: BTreeSet<String> = match claims.value("amr") {
        None => BTreeSet::new(),
        Some(Value::Array(words)) if words.len() <= 16 => {
            let word = |word: &Value| word.as_str().filter(|text| text.len() <= 64).map(str::to_owned).ok_or(UNFIT);
            words.iter().map(word).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(UNFIT),
    };
    Ok(claims.optional_time("auth_time")?.map(|at| Authentication { at, methods, acr: None }))
}

/// What we vouch for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouching {
    /// Us.
    pub issuer: String,
    /// Its id.
    pub id: TokenId,
    /// The user, by their pseudonym.
    pub subject: String,
    /// The issuer of the authorization server that it is for, byte for byte.
    pub audience: String,
    /// What that server calls the client.
    pub client: String,
    /// The resource that it is for.
    pub resource: String,
    /// What it allows at most.
    pub scopes: BTreeSet<Scope>,
    /// The key that whoever presents it must prove.
    pub confirmation: Option<Thumbprint>,
    /// How the user proved to us who they are.
    pub authentication: Option<Authentication>,
    /// When it was made, to the second.
    pub issued_at: Timestamp,
    /// When it ends, to the second.
    pub expires_at: Timestamp,
}

impl Vouching {
    /// What the owner of `key` has to sign.
    pub fn signing_input(&self, key: &PublicKey) -> SigningInput {
        let scopes: Vec<&str> = self.scopes.iter().map(Scope::as_str).collect();
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", self.issuer.as_str().into());
        set("sub", self.subject.as_str().into());
        set("aud", self.audience.as_str().into());
        set("client_id", self.client.as_str().into());
        set("jti", self.id.to_string().into());
        set("iat", self.issued_at.as_second().into());
        set("exp", self.expires_at.as_second().into());
        set("resource", self.resource.as_str().into());
        set("scope", scopes.join(" ").into());
        if let Some(thumbprint) = self.confirmation {
            set("cnf", json!({ "jkt": thumbprint.to_string() }));
        }
        if let Some(Authentication { at, methods, .. }) = &self.authentication {
            set("auth_time", at.as_second().into());
            set("amr", methods.iter().cloned().collect());
        }
        SigningInput::new(TokenType::IdJag, key, &Value::Object(claims).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changes: Value) -> Result<IdJag, ClaimError> {
        let mut claims = json!({"sub": "u1", "client_id": "bot", "jti": "j", "scope": "files:read"});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let members = claims.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
        IdJag::read(&Claims::new(members.map(|(name, value)| (name.clone(), value.clone())).collect()))
    }

    #[test]
    fn an_assertion_is_read() {
        let key = crate::test_keys::p256().public.thumbprint.to_string();
        let read = read(json!({
            "resource": ["https://b.example/mcp"], "cnf": {"jkt": key}, "auth_time": 1_800_000_000, "amr": ["hwk"],
            "email": "ada@example.com", "email_verified": true,
        }))
        .unwrap();
        assert_eq!((read.subject.as_str(), read.client.as_str(), read.id.as_str()), ("u1", "bot", "j"));
        assert_eq!(read.verified_email.as_deref(), Some("ada@example.com"));
        assert_eq!(read.resources, BTreeSet::from(["https://b.example/mcp".to_owned()]));
        assert_eq!(read.confirmation.unwrap().to_string(), key);
        assert_eq!(read.authentication.unwrap().methods, BTreeSet::from(["hwk".to_owned()]));
    }

    #[test]
    fn an_address_counts_only_when_it_is_verified() {
        for verified in [json!(false), json!("true"), json!(null), json!(1)] {
            let read = read(json!({"email": "ada@example.com", "email_verified": verified})).unwrap();
            assert_eq!(read.verified_email, None, "{verified}");
        }
    }

    #[test]
    fn what_is_not_understood_or_unfit_refuses_it() {
        for bad in [
            json!({"authorization_details": []}),
            json!({"act": {"sub": "other"}}),
            json!({"may_act": {"sub": "other"}}),
            json!({"tenant": "t1"}),
            json!({"sub": ""}),
            json!({"sub": "a\u{0}b"}),
            json!({"sub": 1}),
            json!({"client_id": null}),
            json!({"client_id": ["bot"]}),
            json!({"jti": null}),
            json!({"scope": "a  b"}),
            json!({"scope": ["a"]}),
            json!({"resource": []}),
            json!({"resource": [1]}),
            json!({"resource": vec!["https://b.example"; RESOURCES_MAX + 1]}),
            json!({"cnf": {}}),
            json!({"cnf": {"jkt": "short"}}),
            json!({"cnf": {"x5t#S256": "a"}}),
            json!({"cnf": "jkt"}),
            json!({"amr": "hwk"}),
            json!({"auth_time": "now"}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..=SCOPES_MAX).map(|n| format!("s{n}")).collect();
        assert!(read(json!({ "scope": many.join(" ") })).is_err());
    }
}
