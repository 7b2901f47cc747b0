//! What an issuer's file may say, and every way in which it is refused.

use std::collections::BTreeMap;

use super::*;
use crate::finding::Severity;

const GITHUB: &str = r#"issuer = "https://token.actions.githubusercontent.com"
keys = { discovery = "openid-configuration" }
algorithms = ["RS256"]
max_age_s = 900

[[workload.agents]]
agent = "deploy-bot"
claims = { repository_id = "42", environment = "production" }
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
    let files =
        [("github.toml", GITHUB), ("corp.toml", CORP), ("spiffe.toml", SPIFFE), ("prod.json", r#"{"keys":[]}"#)];
    let (issuers, findings) = read_all(&[&files[..], &[("target.toml", TARGET)]].concat());
    assert_eq!(findings, []);
    let (github, workloads) = issuers.of_workloads("https://token.actions.githubusercontent.com").unwrap();
    let document = "https://token.actions.githubusercontent.com/.well-known/openid-configuration";
    assert_eq!(github.keys, Some(KeySource::Discovery(document.parse().unwrap())));
    assert_eq!((github.algorithms.as_slice(), github.age_s_max), (&[SigningAlgorithm::RS256][..], 900));
    let claims = serde_json::json!({"repository_id": "42", "environment": "production"});
    let bot: AgentName = "deploy-bot".parse().unwrap();
    assert_eq!(workloads.agent(claims.as_object().unwrap()), Some(&bot));
    assert_eq!(workloads.agent(&Map::new()), None);
    let misfit = workloads.misfit(serde_json::json!({"repository_id": "42"}).as_object().unwrap(), None).unwrap();
    assert_eq!((misfit.agent, misfit.claim.as_str()), (bot.clone(), "environment"));
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
    assert!(issuers.of_workloads("https://idp.example.com/tenant").is_none());
}

#[test]
fn two_agents_that_one_token_could_be_are_not_published() {
    let with = |claims: &str| format!("{GITHUB}[[workload.agents]]\nagent = \"other\"\nclaims = {{ {claims} }}\n");
    let production = "repository_id = \"42\", environment = \"production\"";
    for overlap in
        [production, "repository_id = \"42\", ref = \"main\"", "repository_id = [\"41\", \"42\"], sub = \"7\""]
    {
        assert_eq!(codes(&with(overlap)), ["workload-overlap"], "{overlap}");
    }
    for apart in ["repository_id = \"43\", ref = \"main\"", "repository_id = \"42\", environment = \"staging\""] {
        assert_eq!(codes(&with(apart)), [""; 0], "{apart}");
    }
    // Two workloads may be one agent.
    assert_eq!(codes(&with(production).replace("\"other\"", "\"deploy-bot\"")), [""; 0]);
}

#[test]
fn any_job_of_a_repository_is_warned_of() {
    let (_, findings) = read_all(&[("a.toml", &GITHUB.replace(", environment = \"production\"", ""))]);
    assert_eq!(
        findings.iter().map(|finding| (finding.code, finding.severity)).collect::<Vec<_>>(),
        [("workload-broad", Severity::Warning)]
    );
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
    let with_keys = |other: &str| GITHUB.replace(keys, other);
    let claims = r#"{ repository_id = "42", environment = "production" }"#;
    for (text, code) in [
        (GITHUB.replace("https://token", "http://token"), "issuer-url"),
        (GITHUB.replace("content.com", "content.com?x=1"), "issuer-url"),
        (GITHUB.replace("https://token", "https://user@token"), "issuer-url"),
        (GITHUB.replace("issuer = ", "# "), "issuer-unnamed"),
        (with_keys(""), "issuer-keys"),
        (with_keys("keys = {}"), "issuer-keys"),
        (with_keys(r#"keys = { jwks_uri = "http://idp.example/k" }"#), "issuer-keys"),
        (with_keys(r#"keys = { jwks_uri = "https://u:p@idp.example/k" }"#), "issuer-keys"),
        (with_keys(r#"keys = { jwks_uri = "https://a.example", pinned = "prod.json" }"#), "issuer-keys"),
        (with_keys(r#"keys = { pinned = "missing.json" }"#), "issuer-keys"),
        (with_keys(r#"keys = { pinned = "../roles/a.json" }"#), "issuer-keys"),
        (with_keys(r#"keys = { jwks = "x" }"#), "key-unknown"),
        (with_keys(r#"keys = { discovery = "openid" }"#), "key-unknown"),
        (GITHUB.replace("[\"RS256\"]", "[\"HS256\"]"), "key-unknown"),
        (GITHUB.replace("[\"RS256\"]", "[]"), "issuer-algorithms"),
        (GITHUB.replace("900", "0"), "issuer-age"),
        (GITHUB.replace("900", "86401"), "issuer-age"),
        (GITHUB.replace("agent = \"deploy-bot\"", "agent = \"Deploy\""), "workload-agent"),
        (GITHUB.replace(claims, "{}"), "workload-claims"),
        (GITHUB.replace(claims, r#"{ repository = "octo/app" }"#), "workload-mutable"),
        (GITHUB.replace(claims, r#"{ repository_owner_id = "7" }"#), "workload-mutable"),
        (GITHUB.replace(claims, r#"{ repository_id = "4*" }"#), "workload-claims"),
        (GITHUB.replace("[[w", "[workload]\ndanger_immutable = [\"repository\"]\n[[w"), "workload-mutable"),
        (GITHUB.replace("[[w", "[workload]\ndanger_tokens_reused = true\n[[w").replace("900", "3601"), "workload-age"),
        (GITHUB.replace("[[workload.agents]]", "[[workloads.agents]]"), "key-unknown"),
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
    let (_, findings) = read_all(&[("a.toml", GITHUB), ("b.toml", GITHUB)]);
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["issuer-twice"]);
    let (_, findings) = read_all(&[("stray.json", "{}")]);
    assert_eq!((findings[0].code, findings[0].severity), ("file-ignored", Severity::Warning));
}

/// What the documentation shows works as it stands.
#[test]
fn the_recipes_of_the_page_on_platforms_are_read() {
    let page = include_str!("../../../../docs/workloads.md");
    let recipes: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [github, cluster] = recipes.as_slice() else { panic!("two recipes, not {}", recipes.len()) };
    let files = [("github.toml", *github), ("cluster.toml", *cluster), ("cluster.json", r#"{"keys":[]}"#)];
    let (issuers, findings) = read_all(&files);
    assert_eq!(findings, []);
    let (github, jobs) = issuers.of_workloads("https://token.actions.githubusercontent.com").unwrap();
    assert!(github.age_s_max == 900 && !jobs.tokens_reused);
    let claims = serde_json::json!({
        "repository_id": "74", "repository_owner_id": "65", "environment": "production",
        "job_workflow_ref": "octo/app/.github/workflows/deploy.yml@refs/heads/main",
    });
    assert_eq!(jobs.agent(claims.as_object().unwrap()).unwrap().as_str(), "deploy-bot");
    let (_, pods) = issuers.of_workloads("https://kubernetes.default.svc.cluster.local").unwrap();
    let uid = "5e0c7d2a-0d4f-4a58-9a57-3a3f0a3d8f10";
    let claims =
        serde_json::json!({"kubernetes.io": {"namespace": "jobs", "serviceaccount": {"name": "reader", "uid": uid}}});
    assert_eq!(pods.agent(claims.as_object().unwrap()).unwrap().as_str(), "reader");
}
