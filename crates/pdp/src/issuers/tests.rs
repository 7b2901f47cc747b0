//! What an issuer's file may say, and every way in which it is refused.

use std::collections::BTreeMap;

use super::*;
use crate::finding::Severity;

const IDP: &str = r#"issuer = "https://token.content.com"
keys = { discovery = "openid-configuration" }
algorithms = ["RS256"]
max_age_s = 900

[id_jag]
email_domains = ["content.com"]
"#;

const CORP: &str = r#"issuer = "https://idp.example.com/tenant"
keys = { jwks_uri = "https://keys.example.com/jwks" }

[id_jag]
email_domains = ["Example.com"]
scopes = ["files:read"]
[id_jag.subjects]
00u1abc = "ada"
"#;

const SPIFFE: &str = r#"keys = { pinned = "prod.json" }

[spiffe]
trust_domain = "prod.example"
[spiffe.ids]
"spiffe://prod.example/ns/jobs/sa/deploy" = "deploy-bot"
"#;

const TARGET: &str = r#"issuer = "https://other.example"

[[id_jag_target]]
agent = "deploy-bot"
client_id = "partner-7"
resources = ["https://other.example/mcp/files"]
scopes = ["files:read"]
"#;

fn read_all(files: &[(&str, &str)]) -> (Issuers, Vec<Finding>) {
    let files = files.iter().map(|(path, text)| (format!("issuers/{path}"), text.as_bytes().to_vec()));
    super::read(&BundleFiles::new(files.collect::<BTreeMap<_, _>>()).unwrap())
}

fn codes(text: &str) -> Vec<&'static str> {
    let (_, findings) = read_all(&[("a.toml", text), ("prod.json", r#"{"keys":[]}"#)]);
    findings.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| finding.code).collect()
}

#[test]
fn each_use_is_read() {
    let files = [("idp.toml", IDP), ("corp.toml", CORP), ("spiffe.toml", SPIFFE), ("prod.json", r#"{"keys":[]}"#)];
    let (issuers, findings) = read_all(&[&files[..], &[("target.toml", TARGET)]].concat());
    assert_eq!(findings, []);
    let (idp, _) = issuers.vouching("https://token.content.com").unwrap();
    let document = "https://token.content.com/.well-known/openid-configuration";
    assert_eq!(idp.keys, Some(KeySource::Discovery(document.parse().unwrap())));
    assert_eq!((idp.algorithms.as_slice(), idp.age_s_max), (&[SigningAlgorithm::RS256][..], 900));
    let bot: AgentName = "deploy-bot".parse().unwrap();
    let (corp, vouches) = issuers.vouching("https://idp.example.com/tenant").unwrap();
    assert_eq!(corp.age_s_max, TOKEN_AGE_S);
    assert_eq!(vouches.subjects["00u1abc"].as_str(), "ada");
    assert!(vouches.email_domains.contains("example.com"), "domains know no case");
    let (_, domain) = issuers.of_spiffe_id("spiffe://prod.example/ns/jobs/sa/deploy").unwrap();
    assert_eq!(domain.ids.len(), 1);
    assert!(issuers.of_spiffe_id("spiffe://prod.example.evil/ns").is_none());
    assert!(issuers.of_spiffe_id("spiffe://prod.example").is_none());
    assert_eq!(issuers.target("https://other.example", &bot).unwrap().client, "partner-7");
}

#[test]
fn an_issuer_is_found_byte_for_byte_and_for_its_use_alone() {
    let (issuers, _) = read_all(&[("corp.toml", CORP)]);
    for other in ["https://idp.example.com/tenant/", "https://IDP.example.com/tenant", "https://idp.example.com", ""] {
        assert!(issuers.named(other).is_none(), "{other}");
    }
    let (issuers, _) = read_all(&[("target.toml", TARGET)]);
    assert!(issuers.named("https://other.example").is_some() && issuers.vouching("https://other.example").is_none());
}

#[test]
fn the_document_of_oauth_goes_before_the_path() {
    let text =
        CORP.replace(r#"jwks_uri = "https://keys.example.com/jwks""#, r#"discovery = "oauth-authorization-server""#);
    let (issuers, _) = read_all(&[("a.toml", &text)]);
    let expected = "https://idp.example.com/.well-known/oauth-authorization-server/tenant";
    let found = issuers.named("https://idp.example.com/tenant").unwrap().keys.clone();
    assert_eq!(found, Some(KeySource::Discovery(expected.parse().unwrap())));
}

#[test]
fn every_refusal_has_its_code() {
    let keys = r#"keys = { discovery = "openid-configuration" }"#;
    let with_keys = |other: &str| IDP.replace(keys, other);
    for (text, code) in [
        (IDP.replace("https://token", "http://token"), "issuer-url"),
        (IDP.replace("content.com\"\nkeys", "content.com?x=1\"\nkeys"), "issuer-url"),
        (IDP.replace("https://token", "https://user@token"), "issuer-url"),
        (IDP.replace("issuer = ", "# "), "issuer-unnamed"),
        (with_keys(""), "issuer-keys"),
        (with_keys("keys = {}"), "issuer-keys"),
        (with_keys(r#"keys = { jwks_uri = "http://idp.example/k" }"#), "issuer-keys"),
        (with_keys(r#"keys = { jwks_uri = "https://u:p@idp.example/k" }"#), "issuer-keys"),
        (with_keys(r#"keys = { jwks_uri = "https://a.example", pinned = "prod.json" }"#), "issuer-keys"),
        (with_keys(r#"keys = { pinned = "missing.json" }"#), "issuer-keys"),
        (with_keys(r#"keys = { pinned = "../roles/a.json" }"#), "issuer-keys"),
        (with_keys(r#"keys = { jwks = "x" }"#), "key-unknown"),
        (with_keys(r#"keys = { discovery = "openid" }"#), "key-unknown"),
        (IDP.replace("[\"RS256\"]", "[\"HS256\"]"), "key-unknown"),
        (IDP.replace("[\"RS256\"]", "[]"), "issuer-algorithms"),
        (IDP.replace("900", "0"), "issuer-age"),
        (IDP.replace("900", "86401"), "issuer-age"),
        (format!("{IDP}[workload]\n"), "key-unknown"),
        (CORP.replace("00u1abc", "# ").replace("[\"Example.com\"]", "[]"), "issuer-subjects"),
        (CORP.replace("\"ada\"", "\"a b\""), "issuer-subjects"),
        (CORP.replace("Example.com", "*.example.com"), "issuer-domain"),
        (CORP.replace("Example.com", "com"), "issuer-domain"),
        (SPIFFE.replace("trust_domain = \"prod.example\"", "trust_domain = \"spiffe://prod\""), "spiffe-domain"),
        (SPIFFE.replace("spiffe://prod.example/ns/jobs", "spiffe://other.example/ns"), "spiffe-id"),
        (SPIFFE.replace("/ns/jobs/", "/ns/../"), "spiffe-id"),
        (SPIFFE.replace("\"spiffe://prod", "# "), "spiffe-agents"),
        (TARGET.replace("[\"files:read\"]", "[]"), "target-nothing"),
        (TARGET.replace("[\"https://other.example/mcp/files\"]", "[\"files\"]"), "target-resource"),
        ("issuer = \"https://a.example\"\n".to_owned(), "issuer-useless"),
    ] {
        let found = codes(&text);
        assert!(found.contains(&code), "{code} is not in {found:?}:\n{text}");
    }
    let (_, findings) = read_all(&[("a.toml", IDP), ("b.toml", IDP)]);
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["issuer-twice"]);
    let (_, findings) = read_all(&[("stray.json", "{}")]);
    assert_eq!((findings[0].code, findings[0].severity), ("file-ignored", Severity::Warning));
}
