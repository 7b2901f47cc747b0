//! The description of the administrative interface: OpenAPI 3.1, made from the
//! handlers themselves and kept in `docs/openapi.json`, where a test compares it.

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, ServerBuilder},
};

/// The document that every route is added to.
pub(crate) fn blank() -> OpenApi {
    let about = "Administration of a Bailiwick broker. It answers on the broker's local socket only; the operator is \
                 the account at the other end. Every refusal is a problem document (RFC 9457).";
    let info = InfoBuilder::new()
        .title("Bailiwick administration")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(about))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let server = ServerBuilder::new().url("/").description(Some("over the local socket")).build();
    OpenApiBuilder::new().info(info).servers(Some([server])).build()
}

/// The whole document as JSON with a line break at its end, as `docs/openapi.json` holds it.
pub fn document() -> String {
    let (_, api) = crate::admin::routes().split_for_parts();
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// A refusal (RFC 9457).
#[derive(ToSchema)]
#[schema(title = "Problem")]
#[expect(dead_code, reason = "describes what `bailiwick_web::problem` writes")]
pub(crate) struct ProblemDocument {
    /// A reference to the code's explanation.
    #[schema(example = "/reasons#invalid")]
    r#type: String,
    /// A few words, the same for every problem of this kind.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// The stable word for programs.
    code: String,
    /// Whose move it is.
    #[schema(example = "agent")]
    blame: String,
    /// Whether the same message can succeed later without anybody changing anything.
    retryable: bool,
    /// Seconds after which it can.
    retry_after_s: Option<u64>,
    /// The next step.
    hint: Option<String>,
    /// What is wrong with each part.
    errors: Option<Vec<serde_json::Value>>,
}

/// The refusals that any route can give.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only describes responses")]
pub(crate) enum Refusals {
    /// The message cannot be read, or asks for what cannot be.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(ProblemDocument),
    /// There is no operator at the other end.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemDocument),
    /// Nothing has that name.
    #[response(status = 404, content_type = "application/problem+json")]
    Missing(ProblemDocument),
    /// It exists already, or changed meanwhile.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemDocument),
    /// The broker cannot record or read now; nothing was changed.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDocument),
}

#[cfg(test)]
mod tests {
    /// Set `BAILIWICK_WRITE_OPENAPI=1` to write the file instead of comparing it.
    #[test]
    fn the_kept_document_is_the_one_that_the_handlers_give() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let now = super::document();
        if std::env::var_os("BAILIWICK_WRITE_OPENAPI").is_some() {
            std::fs::write(&path, now).unwrap();
            return;
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == now,
            "docs/openapi.json is out of date: set `BAILIWICK_WRITE_OPENAPI=1` and run this test again"
        );
    }
}
