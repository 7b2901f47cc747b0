//! Well-signed tokens that say what must not be believed, as data. The names are in spirit those of the public suites for
//! FAPI 2.0 and DPoP; the checks are ours.

use serde_json::{Value, json};

/// What the values of a case depend on.
pub(super) struct Here<'a> {
    /// Seconds since 1970.
    pub(super) now: i64,
    /// The issuer.
    pub(super) issuer: &'a str,
    /// The URL that is asked.
    pub(super) url: &'a str,
}

/// A name, and the claims that replace the honest ones; `null` removes one.
pub(super) type Case = (&'static str, fn(&Here<'_>) -> Value);

/// Assertions (RFC 7523 and its revision).
pub(super) const ASSERTIONS: &[Case] = &[
    ("client-assertion-with-no-sub", |_| json!({ "sub": null })),
    ("client-assertion-with-no-iss", |_| json!({ "iss": null })),
    ("client-assertion-with-no-aud", |_| json!({ "aud": null })),
    ("client-assertion-with-no-exp", |_| json!({ "exp": null })),
    ("client-assertion-with-no-jti", |_| json!({ "jti": null })),
    ("client-assertion-with-iss-of-another", |_| json!({ "iss": "other-1" })),
    ("client-assertion-for-another-client", |_| json!({ "iss": "peer-1", "sub": "peer-1" })),
    ("client-assertion-for-nobody", |_| json!({ "iss": "nobody", "sub": "nobody" })),
    ("client-assertion-expired-five-minutes-ago", |here| json!({ "exp": here.now - 300, "iat": here.now - 360 })),
    ("client-assertion-living-ten-minutes", |here| json!({ "exp": here.now + 600 })),
    ("client-assertion-living-for-ever", |_| json!({ "exp": 99_999_999_999_i64 })),
    ("client-assertion-with-exp-as-text", |here| json!({ "exp": (here.now + 60).to_string() })),
    ("client-assertion-with-negative-exp", |_| json!({ "exp": -1 })),
    ("client-assertion-issued-in-the-future", |here| json!({ "iat": here.now + 200, "exp": here.now + 260 })),
    ("client-assertion-not-before-the-future", |here| json!({ "nbf": here.now + 200 })),
    (
        "client-assertion-with-token-endpoint-as-audience",
        |here| json!({ "aud": format!("{}/oauth/token", here.issuer) }),
    ),
    ("par-endpoint-as-audience", |here| json!({ "aud": format!("{}/oauth/par", here.issuer) })),
    ("the-url-that-is-asked-as-audience", |here| json!({ "aud": here.url })),
    ("issuer-with-slash-as-audience", |here| json!({ "aud": format!("{}/", here.issuer) })),
    ("issuer-in-capitals-as-audience", |here| json!({ "aud": here.issuer.to_uppercase() })),
    ("issuer-by-another-scheme-as-audience", |here| json!({ "aud": here.issuer.replacen("http", "https", 1) })),
    ("issuer-and-another-as-audience", |here| json!({ "aud": [here.issuer, "https://other.example"] })),
    ("another-server-as-audience", |_| json!({ "aud": "https://other.example" })),
    ("no-audience-in-an-array", |_| json!({ "aud": [] })),
    ("client-assertion-with-empty-jti", |_| json!({ "jti": "" })),
    ("client-assertion-with-long-jti", |_| json!({ "jti": "j".repeat(257) })),
    ("client-assertion-with-jti-as-number", |_| json!({ "jti": 1 })),
];

/// Proofs of possession (RFC 9449 §4.3).
pub(super) const PROOFS: &[Case] = &[
    ("dpop-proof-with-no-jti", |_| json!({ "jti": null })),
    ("dpop-proof-with-no-htm", |_| json!({ "htm": null })),
    ("dpop-proof-with-no-htu", |_| json!({ "htu": null })),
    ("dpop-proof-with-no-iat", |_| json!({ "iat": null })),
    ("dpop-proof-with-no-nonce", |_| json!({ "nonce": null })),
    ("dpop-proof-with-a-made-up-nonce", |_| json!({ "nonce": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" })),
    ("dpop-proof-with-a-nonce-that-is-no-text", |_| json!({ "nonce": 1 })),
    ("dpop-proof-for-another-method", |_| json!({ "htm": "GET" })),
    ("dpop-proof-for-the-method-in-lower-case", |_| json!({ "htm": "post" })),
    ("dpop-proof-for-another-path", |here| json!({ "htu": format!("{}/other", here.url) })),
    ("dpop-proof-for-another-host", |here| json!({ "htu": here.url.replacen("127.0.0.1", "127.0.0.2", 1) })),
    ("dpop-proof-for-another-port", |_| json!({ "htu": "http://127.0.0.1:1/oauth/token" })),
    ("dpop-proof-for-another-scheme", |here| json!({ "htu": here.url.replacen("http", "https", 1) })),
    ("dpop-proof-with-a-user-in-htu", |here| json!({ "htu": here.url.replacen("http://", "http://user@", 1) })),
    ("dpop-proof-for-a-path-alone", |_| json!({ "htu": "/oauth/token" })),
    ("dpop-proof-made-ten-minutes-ago", |here| json!({ "iat": here.now - 600 })),
    ("dpop-proof-made-in-ten-minutes", |here| json!({ "iat": here.now + 600 })),
    ("dpop-proof-with-iat-in-milliseconds", |here| json!({ "iat": here.now * 1_000 })),
    ("dpop-proof-with-iat-as-text", |here| json!({ "iat": here.now.to_string() })),
    ("dpop-proof-with-empty-jti", |_| json!({ "jti": "" })),
    ("dpop-proof-with-long-jti", |_| json!({ "jti": "j".repeat(257) })),
];

/// The same where an access token comes with it.
pub(super) const PROOFS_WITH_TOKEN: &[Case] = &[
    ("dpop-proof-with-no-ath", |_| json!({ "ath": null })),
    ("dpop-proof-with-ath-of-another-token", |_| json!({ "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo" })),
    ("dpop-proof-with-empty-ath", |_| json!({ "ath": "" })),
];

/// Access tokens that only the issuer's own key could sign: what a mistake of ours would be.
pub(super) const TOKENS: &[Case] = &[
    ("access-token-that-expired", |here| json!({ "exp": here.now - 300, "iat": here.now - 900 })),
    ("access-token-with-no-exp", |_| json!({ "exp": null })),
    ("access-token-issued-in-the-future", |here| json!({ "iat": here.now + 3_600, "exp": here.now + 7_200 })),
    ("access-token-of-another-issuer", |_| json!({ "iss": "https://other.example" })),
    ("access-token-with-no-iss", |_| json!({ "iss": null })),
    ("access-token-for-another-audience", |here| json!({ "aud": format!("{}/mcp/other", here.issuer) })),
    ("access-token-for-the-issuer", |here| json!({ "aud": here.issuer })),
    ("access-token-for-several", |here| json!({ "aud": [here.url, "https://other.example"] })),
    ("access-token-with-no-aud", |_| json!({ "aud": null })),
    ("access-token-of-nobody", |_| json!({ "sub": "nobody", "client_id": "nobody" })),
    ("access-token-of-two-minds", |_| json!({ "sub": "peer-1" })),
    ("access-token-with-no-sub", |_| json!({ "sub": null })),
    ("access-token-with-no-client", |_| json!({ "client_id": null })),
    ("access-token-with-no-jti", |_| json!({ "jti": null })),
    ("access-token-bound-to-nothing", |_| json!({ "cnf": null })),
    (
        "access-token-bound-to-another-key",
        |_| json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }),
    ),
    ("access-token-bound-oddly", |_| json!({ "cnf": { "jkt": 1 } })),
    ("access-token-with-an-actor-that-is-none", |_| json!({ "act": "asker-1" })),
    ("access-token-with-an-actor-unknown", |_| json!({ "act": { "sub": "nobody" } })),
    ("access-token-of-another-environment", |_| json!({ "bailiwick_env": "production-2" })),
    (
        "access-token-of-a-grant-that-never-was",
        |_| json!({ "bailiwick_grant": "grant_01992f3c7d1e7a30b2f1c08e6a5d4b21" }),
    ),
    ("access-token-of-a-task-that-never-was", |_| json!({ "bailiwick_task": "task_01992f3c7d1e7a30b2f1c08e6a5d4b21" })),
];
