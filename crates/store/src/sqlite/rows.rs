//! Rows become domain values here, or a named inconsistency. Nothing defaults.

use std::str::FromStr;

use bailiwick_model::{
    agent::{Agent, AgentStatus, Authenticator, Credential},
    consent_request::ConsentRequest,
    digest::Digest,
    directory::{DirectoryGroup, ProvisioningToken},
    grant::{Grant, GrantStatus, SubjectToken},
    id::{BrowserSessionId, ConsentRequestId, DirectoryGroupId, GrantId, TaskId, TokenId},
    identity::{ExternalAccount, LinkedBy},
    jwk::Thumbprint,
    observation::Observation,
    passkey::{Invitation, Passkey},
    principal::Principal,
    session::Session,
    task::{Task, TaskStatus},
    user::{User, UserStatus},
};
use bailiwick_ports::store::{
    FactRow, ObservationRow, ObservedCalls, PublishedBundle, Quarantine, SafeModeRow, StoreError,
};
use jiff::Timestamp;
use rusqlite::{
    Row,
    types::{FromSql, ValueRef},
};
use serde::{Serialize, de::DeserializeOwned};

use super::failure::{Failure, Step};

/// A row of a table, whose first column is its key.
pub(crate) struct Fields<'r> {
    row: &'r Row<'r>,
    table: &'static str,
}

impl<'r> Fields<'r> {
    pub(crate) const fn of(row: &'r Row<'r>, table: &'static str) -> Self {
        Self { row, table }
    }

    /// The error that names a column of this row.
    pub(crate) fn inconsistent(&self, column: &'static str) -> Failure {
        let key = match self.row.get_ref(0) {
            Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Ok(ValueRef::Integer(number)) => number.to_string(),
            Ok(ValueRef::Blob(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => "?".to_owned(),
        };
        StoreError::Inconsistent { table: self.table, column, key }.into()
    }

    pub(crate) fn get<T: FromSql>(&self, column: &'static str) -> Step<T> {
        self.row.get(column).map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn parse<T: FromStr>(&self, column: &'static str) -> Step<T> {
        self.get::<String>(column)?.parse().map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn maybe_parse<T: FromStr>(&self, column: &'static str) -> Step<Option<T>> {
        let text = self.get::<Option<String>>(column)?;
        text.map(|text| text.parse().map_err(|_| self.inconsistent(column))).transpose()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Step<T> {
        serde_json::from_str(&self.get::<String>(column)?).map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn maybe_json<T: DeserializeOwned>(&self, column: &'static str) -> Step<Option<T>> {
        let text = self.get::<Option<String>>(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|_| self.inconsistent(column))).transpose()
    }

    pub(crate) fn time(&self, column: &'static str) -> Step<Timestamp> {
        Timestamp::from_microsecond(self.get(column)?).map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn maybe_time(&self, column: &'static str) -> Step<Option<Timestamp>> {
        self.get::<Option<i64>>(column)?
            .map(|at| Timestamp::from_microsecond(at).map_err(|_| self.inconsistent(column)))
            .transpose()
    }

    pub(crate) fn count(&self, column: &'static str) -> Step<u64> {
        u64::try_from(self.get::<i64>(column)?).map_err(|_| self.inconsistent(column))
    }

    fn flag(&self, column: &'static str) -> Step<bool> {
        match self.get::<i64>(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.inconsistent(column)),
        }
    }

    pub(crate) fn digest(&self, column: &'static str) -> Step<Digest> {
        self.get::<[u8; 32]>(column).map(Digest::from_bytes)
    }
}

/// JSON text of a list or nested value.
pub(crate) fn json_text<T: Serialize>(value: &T) -> Step<String> {
    serde_json::to_string(value).map_err(Failure::unfit)
}

/// An agent without its credentials.
pub(crate) fn agent(fields: &Fields<'_>) -> Step<Agent> {
    let status = match (
        fields.get::<String>("status")?.as_str(),
        fields.maybe_time("status_at")?,
        fields.get::<Option<String>>("status_reason")?,
    ) {
        ("active", None, None) => AgentStatus::Active,
        ("suspended", Some(at), Some(reason)) => AgentStatus::Suspended { at, reason },
        ("retired", Some(at), Some(reason)) => AgentStatus::Retired { at, reason },
        _ => return Err(fields.inconsistent("status")),
    };
    Ok(Agent {
        name: fields.parse("name")?,
        owner: fields.get("owner")?,
        purpose: fields.get("purpose")?,
        environment: fields.parse("environment")?,
        role: fields.parse("role")?,
        systems: fields.json("systems")?,
        scopes: fields.json("scopes")?,
        redirect_uris: fields.json("redirect_uris")?,
        promoted: fields.flag("promoted")?,
        bearer_tokens_allowed: fields.flag("bearer_tokens_allowed")?,
        task_required: fields.flag("task_required")?,
        token_ttl_s: fields.count("token_ttl_s")?,
        credentials: Vec::new(),
        status,
        created_at: fields.time("created_at")?,
        expires_at: fields.time("expires_at")?,
        review_by: fields.time("review_by")?,
        successor_by: fields.maybe_time("successor_by")?,
        key_protection: fields.parse("key_protection")?,
        version: fields.count("version")?,
    })
}

pub(crate) fn credential(fields: &Fields<'_>) -> Step<Credential> {
    let authenticator: Authenticator = fields.json("authenticator")?;
    // Tokens cite a credential by its thumbprint, so it must be this one's.
    if fields.parse::<Thumbprint>("thumbprint")? != authenticator.id() {
        return Err(fields.inconsistent("thumbprint"));
    }
    Ok(Credential {
        authenticator,
        attestation: fields.maybe_json("attestation")?,
        created_at: fields.time("created_at")?,
        expires_at: fields.time("expires_at")?,
        last_used_at: fields.maybe_time("last_used_at")?,
    })
}

pub(crate) fn task(fields: &Fields<'_>) -> Step<Task> {
    let status = match (
        fields.get::<String>("status")?.as_str(),
        fields.maybe_time("ended_at")?,
        fields.get::<Option<String>>("ended_reason")?,
    ) {
        ("open", None, None) => TaskStatus::Open,
        ("ended", Some(at), Some(reason)) => TaskStatus::Ended { at, reason },
        _ => return Err(fields.inconsistent("status")),
    };
    Ok(Task {
        id: TaskId::from_bytes(fields.get("id")?),
        agent: fields.parse("agent")?,
        purpose: fields.get("purpose")?,
        prompt_commitment: fields.get("prompt_commitment")?,
        tools: fields.json("tools")?,
        self_made: fields.flag("self_made")?,
        status,
        created_at: fields.time("created_at")?,
        expires_at: fields.time("expires_at")?,
    })
}

pub(crate) fn grant(fields: &Fields<'_>) -> Step<Grant> {
    let status = match (
        fields.get::<String>("status")?.as_str(),
        fields.maybe_time("ended_at")?,
        fields.get::<Option<String>>("ended_reason")?,
    ) {
        ("active", None, None) => GrantStatus::Active,
        ("ended", Some(at), Some(reason)) => GrantStatus::Ended { at, reason },
        _ => return Err(fields.inconsistent("status")),
    };
    let kind = serde_json::Value::String(fields.get("kind")?);
    let authentication = fields.maybe_json("authentication")?;
    let details = fields.maybe_json("details")?;
    let vouched = fields.maybe_json("vouched")?;
    let subject_token = fields.get::<Option<[u8; 16]>>("subject_token")?.map(TokenId::from_bytes);
    let subject_task = fields.get::<Option<[u8; 16]>>("subject_task")?.map(TaskId::from_bytes);
    let subject = match (subject_token, subject_task) {
        (Some(id), task) => Some(SubjectToken { id, task }),
        (None, None) => None,
        (None, Some(_)) => return Err(fields.inconsistent("subject_token")),
    };
    Ok(Grant {
        id: GrantId::from_bytes(fields.get("id")?),
        kind: serde_json::from_value(kind).map_err(|_| fields.inconsistent("kind"))?,
        chain: fields.json("chain")?,
        parent: fields.get::<Option<[u8; 16]>>("parent")?.map(GrantId::from_bytes),
        subject,
        resources: fields.json("resources")?,
        scopes: fields.json("scopes")?,
        details,
        task: fields.get::<Option<[u8; 16]>>("task")?.map(TaskId::from_bytes),
        authentication,
        vouched,
        status,
        created_at: fields.time("created_at")?,
        expires_at: fields.time("expires_at")?,
    })
}

pub(crate) fn consent_request(fields: &Fields<'_>) -> Step<ConsentRequest> {
    let kind = serde_json::Value::String(fields.get("kind")?);
    let user = fields.get::<Option<String>>("user_id")?.map(|text| text.parse());
    Ok(ConsentRequest {
        id: ConsentRequestId::from_bytes(fields.get("id")?),
        kind: serde_json::from_value(kind).map_err(|_| fields.inconsistent("kind"))?,
        secret: fields.digest("secret")?,
        user_code: fields.get::<Option<[u8; 32]>>("user_code")?.map(Digest::from_bytes),
        client: fields.parse("client")?,
        user: user.transpose().map_err(|_| fields.inconsistent("user_id"))?,
        asked: fields.json("asked")?,
        status: fields.json("status")?,
        created_at: fields.time("created_at")?,
        expires_at: fields.time("expires_at")?,
    })
}

pub(crate) fn user(fields: &Fields<'_>) -> Step<User> {
    let status = match (
        fields.get::<String>("status")?.as_str(),
        fields.maybe_time("status_at")?,
        fields.get::<Option<String>>("status_reason")?,
    ) {
        ("active", None, None) => UserStatus::Active,
        ("suspended", Some(at), Some(reason)) => UserStatus::Suspended { at, reason },
        ("left", Some(at), Some(reason)) => UserStatus::Left { at, reason },
        _ => return Err(fields.inconsistent("status")),
    };
    Ok(User {
        id: fields.parse("id")?,
        name: fields.get("name")?,
        email: fields.get("email")?,
        groups: fields.json("groups")?,
        status,
        directory: fields.maybe_json("directory")?,
        created_at: fields.time("created_at")?,
        version: fields.count("version")?,
    })
}

pub(crate) fn identity(fields: &Fields<'_>) -> Step<ExternalAccount> {
    Ok(ExternalAccount {
        issuer: fields.get("issuer")?,
        subject: fields.get("subject")?,
        user: fields.parse("user_id")?,
        linked_by: match fields.get::<String>("linked_by")?.as_str() {
            _ if fields.get::<Option<i64>>("removed_at")?.is_some() => LinkedBy::Removed,
            "operator" => LinkedBy::Operator,
            "match" => LinkedBy::Match,
            "creation" => LinkedBy::Creation,
            _ => return Err(fields.inconsistent("linked_by")),
        },
        created_at: fields.time("created_at")?,
    })
}

pub(crate) fn directory_group(fields: &Fields<'_>) -> Step<DirectoryGroup> {
    Ok(DirectoryGroup {
        id: DirectoryGroupId::from_bytes(fields.get("id")?),
        display_name: fields.get("display_name")?,
        external_id: fields.get("external_id")?,
        created_at: fields.time("created_at")?,
        version: fields.count("version")?,
    })
}

pub(crate) fn provisioning_token(fields: &Fields<'_>) -> Step<ProvisioningToken> {
    Ok(ProvisioningToken {
        name: fields.parse("name")?,
        token: fields.digest("token")?,
        created_at: fields.time("created_at")?,
        expires_at: fields.time("expires_at")?,
    })
}

pub(crate) fn session(fields: &Fields<'_>) -> Step<Session> {
    Ok(Session {
        id: BrowserSessionId::from_bytes(fields.get("id")?),
        token: fields.digest("token")?,
        user: fields.parse("user_id")?,
        authentication: fields.json("authentication")?,
        created_at: fields.time("created_at")?,
        idle_ends_at: fields.time("idle_ends_at")?,
        ends_at: fields.time("ends_at")?,
    })
}

pub(crate) fn passkey(fields: &Fields<'_>) -> Step<Passkey> {
    Ok(Passkey {
        credential: fields.get("credential")?,
        user: fields.parse("user_id")?,
        name: fields.get("name")?,
        record: fields.get("record")?,
        created_at: fields.time("created_at")?,
        last_used_at: fields.maybe_time("last_used_at")?,
    })
}

pub(crate) fn invitation(fields: &Fields<'_>) -> Step<Invitation> {
    Ok(Invitation {
        token: fields.digest("token")?,
        user: fields.parse("user_id")?,
        created_at: fields.time("created_at")?,
        expires_at: fields.time("expires_at")?,
    })
}

pub(crate) fn fact(fields: &Fields<'_>) -> Step<FactRow> {
    let text: String = fields.get("initiating")?;
    let initiating = principal(&text).ok_or_else(|| fields.inconsistent("initiating"))?;
    Ok(FactRow { initiating, fact: fields.parse("fact")?, until: fields.time("until_at")? })
}

/// Reads what [`Principal`]'s `Display` writes.
fn principal(text: &str) -> Option<Principal> {
    let (kind, id) = text.split_once(':')?;
    match kind {
        "user" => id.parse().ok().map(Principal::User),
        "agent" => id.parse().ok().map(Principal::Agent),
        "workload" => id.parse().ok().map(Principal::Workload),
        "operator" => id.parse().ok().map(Principal::Operator),
        _ => None,
    }
}

pub(crate) fn safe_mode(fields: &Fields<'_>) -> Step<SafeModeRow> {
    Ok(SafeModeRow { scope: fields.parse("scope")?, reason: fields.get("reason")?, since: fields.time("since_at")? })
}

pub(crate) fn observation(fields: &Fields<'_>) -> Step<ObservationRow> {
    Ok(ObservationRow {
        observation: Observation { scope: fields.parse("scope")?, production: fields.get("production")? },
        reason: fields.get("reason")?,
        since: fields.time("since_at")?,
        until: fields.time("until_at")?,
        calls: ObservedCalls {
            would_allow: fields.count("would_allow")?,
            would_ask: fields.count("would_ask")?,
            would_deny: fields.count("would_deny")?,
        },
    })
}

pub(crate) fn quarantine(fields: &Fields<'_>) -> Step<Quarantine> {
    let digest = |column| fields.get::<Option<[u8; 32]>>(column).map(|bytes| bytes.map(Digest::from_bytes));
    Ok(Quarantine {
        system: fields.parse("system")?,
        tool: fields.parse("tool")?,
        pinned: digest("pinned")?,
        seen: digest("seen")?,
        definition: fields.get("definition")?,
        since: fields.time("since_at")?,
    })
}

/// A bundle without its files.
pub(crate) fn bundle(fields: &Fields<'_>) -> Step<PublishedBundle> {
    Ok(PublishedBundle {
        revision: fields.digest("revision")?,
        files: bailiwick_model::bundle::BundleFiles::default(),
        boundary: fields.digest("boundary")?,
        boundary_signature: fields.get("boundary_signature")?,
        published_at: fields.time("published_at")?,
        published_by: fields.get("published_by")?,
    })
}
