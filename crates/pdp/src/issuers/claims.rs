//! Which workload is which agent: claims that a token must have, each exactly or one of a list. At least one of them must
//! be an id that its issuer never gives to anybody else: a name can be given up and taken by a stranger.

use serde_json::{Map, Value};

/// Claims of well-known platforms that are never given twice, by their path.
const IMMUTABLE: [&[&str]; 14] = [
    // GitHub Actions
    &["repository_id"],
    &["repository_owner_id"],
    &["enterprise_id"],
    // Kubernetes
    &["kubernetes.io", "serviceaccount", "uid"],
    &["kubernetes.io", "pod", "uid"],
    // GitLab
    &["project_id"],
    &["namespace_id"],
    // Google Cloud
    &["google", "compute_engine", "instance_id"],
    &["google", "compute_engine", "project_number"],
    // Microsoft Entra
    &["oid"],
    // AWS
    &["https://sts.amazonaws.com/", "principal_id"],
    // Buildkite, CircleCI, Terraform Cloud
    &["pipeline_id"],
    &["oidc.circleci.com/project-id"],
    &["terraform_workspace_id"],
];
/// How a `sub` begins that is made of names and given anew with them.
const SUBJECTS_OF_NAMES: [&str; 5] = ["repo:", "system:serviceaccount:", "project_path:", "organization:", "pipeline:"];
/// Values that one claim may have.
const VALUES_MAX: usize = 64;
/// Claims of one workload.
const CLAIMS_MAX: usize = 32;

/// One claim that a token must have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Required {
    path: Vec<String>,
    /// Any of these.
    values: Vec<Value>,
}

/// Everything that a token of one workload says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher(Vec<Required>);

impl Matcher {
    /// Reads what is written, a table of values, of lists of values, and of such tables.
    pub(super) fn read(written: &toml::Table) -> Result<Self, String> {
        let mut required = Vec::new();
        collect(written, &mut Vec::new(), &mut required)?;
        match required.len() {
            0 => Err("no claim is named".to_owned()),
            1..=CLAIMS_MAX => Ok(Self(required)),
            _ => Err(format!("at most {CLAIMS_MAX} claims")),
        }
    }

    /// Whether the claims of a token are those of this workload.
    pub fn matches(&self, claims: &Map<String, Value>) -> bool {
        self.0.iter().all(|required| {
            let found = at(claims, &required.path);
            found.is_some_and(|found| required.values.contains(found))
        })
    }

    /// Whether one of its claims is an id that is never given twice. `more` are claims that the operator knows as such.
    pub(super) fn is_immutable(&self, more: &[String]) -> bool {
        self.0.iter().any(|required| {
            let path: Vec<&str> = required.path.iter().map(String::as_str).collect();
            IMMUTABLE.contains(&path.as_slice()) || more.contains(&path.join(".")) || required.is_subject_of_no_names()
        })
    }
}

impl Required {
    /// A `sub` is never given twice (OpenID Connect Core 1.0 §2), unless it is made of names after all.
    fn is_subject_of_no_names(&self) -> bool {
        let of_names = |value: &Value| {
            value.as_str().is_none_or(|text| SUBJECTS_OF_NAMES.iter().any(|prefix| text.starts_with(prefix)))
        };
        self.path == ["sub"] && !self.values.iter().any(of_names)
    }
}

fn at<'a>(claims: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
}

fn collect(table: &toml::Table, path: &mut Vec<String>, required: &mut Vec<Required>) -> Result<(), String> {
    for (name, written) in table {
        path.push(name.clone());
        match written {
            toml::Value::Table(table) if path.len() < 8 && !table.is_empty() => collect(table, path, required)?,
            toml::Value::Array(several) if (1..=VALUES_MAX).contains(&several.len()) => {
                let values = several.iter().map(|one| value(one, path)).collect::<Result<_, _>>()?;
                required.push(Required { path: path.clone(), values });
            }
            one => required.push(Required { path: path.clone(), values: vec![value(one, path)?] }),
        }
        path.pop();
    }
    Ok(())
}

fn value(written: &toml::Value, path: &[String]) -> Result<Value, String> {
    match written {
        toml::Value::String(text) if !text.is_empty() => Ok(Value::from(text.as_str())),
        toml::Value::Integer(number) => Ok(Value::from(*number)),
        toml::Value::Boolean(flag) => Ok(Value::from(*flag)),
        _ => Err(format!("claim `{}` is no text, whole number or truth value, nor a list of such", path.join("."))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matcher(text: &str) -> Matcher {
        Matcher::read(&text.parse().unwrap()).unwrap()
    }

    fn matches(text: &str, claims: Value) -> bool {
        matcher(text).matches(claims.as_object().unwrap())
    }

    #[test]
    fn every_claim_must_be_there_and_equal() {
        let github = "repository_id = \"42\"\nenvironment = [\"production\", \"staging\"]\n";
        assert!(matches(github, json!({"repository_id": "42", "environment": "staging", "actor": "x"})));
        for other in [
            json!({"repository_id": "42"}),
            json!({"repository_id": "42", "environment": "test"}),
            json!({"repository_id": 42, "environment": "staging"}),
            json!({"repository_id": "420", "environment": "staging"}),
            json!({"repository_id": ["42"], "environment": "staging"}),
            json!({"environment": "staging"}),
            json!({}),
        ] {
            assert!(!matches(github, other.clone()), "{other}");
        }
        let kubernetes =
            "[\"kubernetes.io\"]\nnamespace = \"jobs\"\n[\"kubernetes.io\".serviceaccount]\nuid = \"u-1\"\n";
        let claims = |uid: &str| json!({"kubernetes.io": {"namespace": "jobs", "serviceaccount": {"uid": uid}}});
        assert!(matches(kubernetes, claims("u-1")));
        assert!(!matches(kubernetes, claims("u-2")));
        assert!(!matches(kubernetes, json!({"kubernetes.io.namespace": "jobs", "kubernetes.io": "u-1"})));
    }

    #[test]
    fn names_alone_are_no_identity() {
        for (text, expected) in [
            ("repository = \"octo/app\"", false),
            ("repository = \"octo/app\"\nenvironment = \"production\"", false),
            ("sub = \"repo:octo/app:ref:refs/heads/main\"", false),
            ("sub = \"system:serviceaccount:jobs:deployer\"", false),
            ("sub = [\"104\", \"repo:octo/app:ref:x\"]", false),
            ("job_workflow_ref = \"octo/app/.github/workflows/x.yml@refs/heads/main\"", false),
            ("sub = \"104217\"", true),
            ("repository_id = \"42\"", true),
            ("[\"kubernetes.io\".serviceaccount]\nuid = \"u-1\"", true),
            ("[\"kubernetes.io\".serviceaccount]\nname = \"deployer\"", false),
            ("repository = { repository_id = \"42\" }", false),
        ] {
            assert_eq!(matcher(text).is_immutable(&[]), expected, "{text}");
        }
        assert!(matcher("team_key = \"t\"").is_immutable(&["team_key".to_owned()]));
        assert!(matcher("org.key = \"t\"").is_immutable(&["org.key".to_owned()]));
    }

    #[test]
    fn what_no_claim_can_be_is_refused() {
        for bad in ["", "a = []", "a = 1.5", "a = \"\"", "a = {}", "a = [[1]]", "a = 2026-01-01"] {
            assert!(Matcher::read(&bad.parse().unwrap()).is_err(), "{bad}");
        }
        let many: String = (0..=CLAIMS_MAX).map(|n| format!("c{n} = 1\n")).collect();
        assert!(Matcher::read(&many.parse().unwrap()).is_err());
    }
}
