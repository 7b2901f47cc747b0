//! Problem documents (RFC 9457): reason, rule, what would help, whether a retry
//! can, an id to search for. What is told outside is written for the caller;
//! causes go to the log.

use axum::response::{IntoResponse, Response};
use bailiwick_engine::refusal::{Denied, Refusal};
use bailiwick_model::{
    blame::Blame,
    decision::{Reason, ReasonCode},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// Where the reason codes are explained, relative to the issuer.
pub const REASONS_PATH: &str = "/reasons";

/// One refusal on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Document>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Document {
    /// A reference to the code's explanation, relative to the issuer (RFC 9457 §3.1.1).
    #[serde(rename = "type")]
    kind: String,
    /// A few words that are the same for every problem of this kind.
    title: &'static str,
    #[serde(serialize_with = "status_number")]
    status: StatusCode,
    /// What is wrong this time.
    detail: String,
    /// The stable word for programs.
    code: String,
    /// Whose move it is.
    blame: Blame,
    /// Whether the same message can succeed later without anybody changing anything.
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluation_id: Option<String>,
    /// All scopes that the call needs, where one is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_needed: Vec<String>,
    /// Every reason of a denial.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Reason>,
    /// What is wrong with each part, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<serde_json::Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem with a stable code and a detail for people.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let blame = if status.is_server_error() { Blame::Us } else { Blame::Agent };
        Self(Box::new(Document {
            kind: format!("{REASONS_PATH}#{code}"),
            title: title(blame),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            blame,
            retryable: false,
            retry_after_s: None,
            hint: None,
            rule: None,
            evaluation_id: None,
            scopes_needed: Vec::new(),
            reasons: Vec::new(),
            errors: Vec::new(),
        }))
    }

    /// With the next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With what is wrong with each part.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<serde_json::Value>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Blames somebody else than the status alone tells.
    #[must_use]
    pub fn blaming(mut self, blame: Blame) -> Self {
        self.0.blame = blame;
        self.0.title = title(blame);
        self
    }

    /// The same message can succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// The same message can succeed after so many seconds.
    #[must_use]
    pub fn after(mut self, retry_after_s: u64) -> Self {
        self.0.retryable = true;
        self.0.retry_after_s = Some(retry_after_s);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable word.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What is wrong this time.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The next step.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

const fn title(blame: Blame) -> &'static str {
    match blame {
        Blame::Agent => "refused",
        Blame::Operator => "an operator has to act",
        Blame::Upstream => "the system behind the broker failed",
        Blame::Us => "the broker failed",
    }
}

/// Who has to act before a call that was denied for this reason can succeed.
pub const fn blame_of(code: ReasonCode) -> Blame {
    match code {
        ReasonCode::UnknownTool
        | ReasonCode::UnknownMethod
        | ReasonCode::ArgumentInvalid
        | ReasonCode::OperationCount
        | ReasonCode::InsufficientScope
        | ReasonCode::InsufficientUserAuthentication
        | ReasonCode::TaskRequired
        | ReasonCode::TaskEnded
        | ReasonCode::GrantEnded
        | ReasonCode::TaskTool
        | ReasonCode::TaskPin
        | ReasonCode::DetailTool
        | ReasonCode::DetailPin
        | ReasonCode::LimitReached
        | ReasonCode::Conflict
        | ReasonCode::Replayed
        | ReasonCode::NoPermit
        | ReasonCode::Forbidden
        | ReasonCode::ApprovalRequired => Blame::Agent,
        ReasonCode::PrincipalInactive
        | ReasonCode::DelegationNotAllowed
        | ReasonCode::DefinitionChanged
        | ReasonCode::EvaluationError
        | ReasonCode::ObligationUnfulfillable
        | ReasonCode::SafeMode => Blame::Operator,
        ReasonCode::DefinitionUnverified => Blame::Upstream,
        ReasonCode::EvidenceUnavailable => Blame::Us,
    }
}

/// The HTTP status of a denial for this reason.
const fn status_of(code: ReasonCode) -> StatusCode {
    match code {
        ReasonCode::ArgumentInvalid | ReasonCode::OperationCount => StatusCode::BAD_REQUEST,
        ReasonCode::Replayed => StatusCode::UNAUTHORIZED,
        ReasonCode::LimitReached => StatusCode::TOO_MANY_REQUESTS,
        ReasonCode::Conflict => StatusCode::CONFLICT,
        ReasonCode::EvidenceUnavailable | ReasonCode::DefinitionUnverified => StatusCode::SERVICE_UNAVAILABLE,
        ReasonCode::UnknownTool | ReasonCode::UnknownMethod => StatusCode::NOT_FOUND,
        ReasonCode::PrincipalInactive
        | ReasonCode::DelegationNotAllowed
        | ReasonCode::DefinitionChanged
        | ReasonCode::NoPermit
        | ReasonCode::Forbidden
        | ReasonCode::ApprovalRequired
        | ReasonCode::EvaluationError
        | ReasonCode::ObligationUnfulfillable
        | ReasonCode::InsufficientScope
        | ReasonCode::InsufficientUserAuthentication
        | ReasonCode::TaskRequired
        | ReasonCode::TaskEnded
        | ReasonCode::GrantEnded
        | ReasonCode::TaskTool
        | ReasonCode::TaskPin
        | ReasonCode::DetailTool
        | ReasonCode::DetailPin
        | ReasonCode::SafeMode => StatusCode::FORBIDDEN,
    }
}

impl From<&Denied> for Problem {
    fn from(denied: &Denied) -> Self {
        let Some(first) = denied.reasons().first() else {
            return Self::new(StatusCode::FORBIDDEN, "denied", "denied");
        };
        let mut problem = Self::new(status_of(first.code), first.code.as_str(), first.message.clone());
        let document = problem.0.as_mut();
        document.retryable = first.code.retryable();
        document.retry_after_s = first.retry_after_s;
        document.hint.clone_from(&first.help);
        document.rule = first.rule.as_ref().map(ToString::to_string);
        document.evaluation_id = Some(denied.id().to_string());
        document.scopes_needed = denied.scopes_needed.iter().map(ToString::to_string).collect();
        document.reasons = denied.reasons().to_vec();
        problem.blaming(blame_of(first.code))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let blame = refusal.blame();
        match blame {
            Blame::Us => tracing::error!(error = %refusal, "a use case failed"),
            Blame::Upstream | Blame::Operator => tracing::warn!(error = %refusal, "a use case was refused"),
            Blame::Agent => tracing::debug!(error = %refusal, "a use case was refused"),
        }
        let detail = refusal.to_string();
        let hint = refusal.hint().map(str::to_owned);
        let mut problem = match refusal {
            Refusal::Invalid { .. } => Self::new(StatusCode::BAD_REQUEST, "invalid", detail),
            Refusal::Missing(_) => Self::new(StatusCode::NOT_FOUND, "missing", detail),
            Refusal::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", detail),
            Refusal::Denied(denied) => return Self::from(denied.as_ref()),
            // The cause is in the log: outside it could tell an attacker what to push.
            Refusal::Unavailable(_) => {
                let detail = "the broker cannot record or read this now, so nothing was changed";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).after(5)
            }
        };
        problem.0.hint = problem.0.hint.or(hint);
        problem.blaming(blame)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.0.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.0.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_and_what_next_but_no_cause_of_ours() {
        let json = serde_json::to_value(Problem::from(Refusal::invalid("no owner", "name one"))).unwrap();
        assert_eq!(json["status"], 400);
        assert_eq!(json["type"], "/reasons#invalid");
        assert_eq!(json["hint"], "name one");
        let problem = Problem::from(Refusal::Unavailable("disk I/O error at /secret/path".to_owned()));
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
        let json = serde_json::to_string(&problem).unwrap();
        assert!(!json.contains("/secret/path"), "{json}");
        let response = problem.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
