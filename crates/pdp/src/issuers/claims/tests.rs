//! What fits a workload, what does not, and which claims are no identity.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const KUBERNETES: &str =
    "[\"kubernetes.io\"]\nnamespace = \"jobs\"\n[\"kubernetes.io\".serviceaccount]\nuid = \"u-1\"\n";

fn matcher(text: &str) -> Matcher {
    Matcher::read(&text.parse().unwrap()).unwrap()
}

fn matches(text: &str, claims: &Value) -> bool {
    matcher(text).matches(claims.as_object().unwrap())
}

#[test]
fn every_claim_must_be_there_and_equal() {
    let github = "repository_id = \"42\"\nenvironment = [\"production\", \"staging\"]\n";
    assert!(matches(github, &json!({"repository_id": "42", "environment": "staging", "actor": "x"})));
    for other in [
        json!({"repository_id": "42"}),
        json!({"repository_id": "42", "environment": "test"}),
        json!({"repository_id": "42", "environment": "Production"}),
        json!({"repository_id": "42", "environment": ["production"]}),
        json!({"repository_id": 42, "environment": "staging"}),
        json!({"repository_id": "420", "environment": "staging"}),
        json!({"repository_id": ["42"], "environment": "staging"}),
        json!({"environment": "staging"}),
        json!({}),
    ] {
        assert!(!matches(github, &other), "{other}");
    }
    let claims = |uid: &str| json!({"kubernetes.io": {"namespace": "jobs", "serviceaccount": {"uid": uid}}});
    assert!(matches(KUBERNETES, &claims("u-1")));
    assert!(!matches(KUBERNETES, &claims("u-2")));
    assert!(!matches(KUBERNETES, &json!({"kubernetes.io.namespace": "jobs", "kubernetes.io": "u-1"})));
    let number = json!({"project_id": 42});
    assert!(matches("project_id = 42", &number) && !matches("project_id = \"42\"", &number));
}

#[test]
fn what_a_token_lacks_is_named() {
    let claims = json!({"kubernetes.io": {"namespace": "other", "serviceaccount": {"uid": "u-1"}}});
    let matcher = matcher(KUBERNETES);
    assert_eq!(matcher.missing(claims.as_object().unwrap()).collect::<Vec<_>>(), ["kubernetes.io.namespace"]);
}

#[test]
fn names_and_what_many_share_are_no_identity() {
    for (text, id) in [
        ("repository = \"octo/app\"", "`repository_id`"),
        ("repository = \"octo/app\"\nenvironment = \"production\"", "`repository_id`"),
        ("repository_owner_id = \"7\"", "`repository_id`"),
        ("sub = \"repo:octo/app:ref:refs/heads/main\"", "`repository_id`"),
        ("sub = \"repo:octo@7/app:ref:refs/heads/main\"", "`repository_id`"),
        ("sub = \"repo:octo@/app@:ref:refs/heads/main\"", "`repository_id`"),
        ("sub = \"repo:octo/app:ref:refs/heads/octo@7/app@42:x\"", "`repository_id`"),
        ("job_workflow_ref = \"octo/app/.github/workflows/x.yml@refs/heads/main\"", "`repository_id`"),
        ("sub = \"system:serviceaccount:jobs:deployer\"", "`\"kubernetes.io\".serviceaccount.uid`"),
        ("[\"kubernetes.io\".serviceaccount]\nname = \"deployer\"", "`\"kubernetes.io\".serviceaccount.uid`"),
        ("sub = \"project_path:octo/app:ref_type:branch:ref:main\"", "`project_id`"),
        ("namespace_id = \"7\"", "`project_id`"),
        ("sub = [\"104\", \"repo:octo/app:ref:x\"]", "`repository_id`"),
        ("sub = \"spiffe://prod.example/ns/jobs\"", "no name"),
        ("repository = { repository_id = \"42\" }", "`repository_id`"),
    ] {
        let matcher = matcher(text);
        assert!(!matcher.is_identified(&[]), "{text}");
        assert!(matcher.fit_id().ends_with(id), "{text}: {}", matcher.fit_id());
    }
    for text in [
        "sub = \"104217\"",
        "sub = \"repo:octo@7/app@42:ref:refs/heads/main\"",
        "repository_id = \"42\"",
        "project_id = \"42\"\nref = \"main\"",
        "[\"kubernetes.io\".serviceaccount]\nuid = \"u-1\"",
    ] {
        assert!(matcher(text).is_identified(&[]), "{text}");
    }
    assert!(matcher("team_key = \"t\"").is_identified(&["team_key".to_owned()]));
    assert!(matcher("org.key = \"t\"").is_identified(&["org.key".to_owned()]));
    // Nobody's word makes an id of what we know to be none.
    let known: Vec<&str> = NO_IDS.into_iter().filter(|name| IDS.contains(&[*name].as_slice())).collect();
    assert!(known.is_empty(), "{known:?}");
}

#[test]
fn what_no_claim_can_be_is_refused() {
    for bad in [
        "",
        "a = []",
        "a = 1.5",
        "a = \"\"",
        "a = {}",
        "a = [[1]]",
        "a = 2026-01-01",
        "a = \"x*\"",
        "aud = \"x\"",
        "jti = \"x\"",
    ] {
        assert!(Matcher::read(&bad.parse().unwrap()).is_err(), "{bad}");
    }
    let many: String = (0..=CLAIMS_MAX).map(|n| format!("c{n} = 1\n")).collect();
    assert!(Matcher::read(&many.parse().unwrap()).is_err());
    let list = (0..=VALUES_MAX).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    assert!(Matcher::read(&format!("a = [{list}]").parse().unwrap()).is_err());
    let deep = "a.".repeat(DEPTH_MAX);
    assert!(Matcher::read(&format!("{deep}b = 1").parse().unwrap()).is_err());
}

#[test]
fn any_job_of_a_repository_is_told_from_one() {
    assert!(matcher("repository_id = \"42\"").is_any_job());
    assert!(!matcher("repository_id = \"42\"\nenvironment = \"production\"").is_any_job());
    assert!(!matcher(KUBERNETES).is_any_job());
}

/// Claims of a few names and values, so that much of it meets.
fn tables() -> impl Strategy<Value = toml::Table> {
    let value = prop_oneof![
        (0..3_i64).prop_map(toml::Value::Integer),
        proptest::collection::vec((0..3_i64).prop_map(toml::Value::Integer), 1..3).prop_map(toml::Value::Array),
        (0..3_i64)
            .prop_map(|n| toml::Value::Table(toml::Table::from_iter([("d".to_owned(), toml::Value::Integer(n))]))),
    ];
    proptest::collection::btree_map("[abc]", value, 1..4).prop_map(toml::Table::from_iter)
}

fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![(0..3_i64).prop_map(Value::from), (0..3_i64).prop_map(|n| json!({ "d": n }))];
    proptest::collection::btree_map("[abc]", value, 0..4).prop_map(Map::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]
    /// Two that no token can be never fit one token: publishing relies on it.
    #[test]
    fn what_is_apart_never_meets(one in tables(), two in tables(), claims in claims()) {
        let (one, two) = (Matcher::read(&one).unwrap(), Matcher::read(&two).unwrap());
        prop_assert_eq!(one.may_be(&two), two.may_be(&one));
        prop_assert!(one.may_be(&one));
        prop_assert!(!(one.matches(&claims) && two.matches(&claims)) || one.may_be(&two));
        prop_assert_eq!(one.matches(&claims), one.missing(&claims).count() == 0);
    }
}
