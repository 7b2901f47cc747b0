//! Which workload is which agent: claims that a token must have, each exactly one value or one of a list. One of them must be
//! an id of the workload that its issuer never gives to anybody else: a name can be given up and taken by a stranger.

use serde_json::{Map, Value};

/// Ids of one workload that well-known platforms never give twice, by their path.
const IDS: [&[&str]; 10] = [
    // GitHub Actions
    &["repository_id"],
    // Kubernetes
    &["kubernetes.io", "serviceaccount", "uid"],
    &["kubernetes.io", "pod", "uid"],
    // GitLab
    &["project_id"],
    // Google Cloud
    &["google", "compute_engine", "instance_id"],
    // Microsoft Entra
    &["oid"],
    // Buildkite, CircleCI, Terraform Cloud
    &["pipeline_id"],
    &["oidc.circleci.com/project-id"],
    &["terraform_workspace_id"],
    &["terraform_project_id"],
];
/// Names, and what many workloads share: no one's word makes an id of them.
pub(super) const NO_IDS: [&str; 21] = [
    "repository",
    "repository_owner",
    "repository_owner_id",
    "enterprise",
    "enterprise_id",
    "environment",
    "ref",
    "workflow",
    "workflow_ref",
    "job_workflow_ref",
    "actor",
    "kubernetes.io",
    "kubernetes.io.namespace",
    "kubernetes.io.serviceaccount.name",
    "kubernetes.io.pod.name",
    "project_path",
    "namespace_path",
    "namespace_id",
    "user_login",
    "email",
    "sub",
];
/// What says which job of a repository or project it is.
const JOBS: [&str; 6] = ["environment", "job_workflow_ref", "workflow_ref", "ref", "ref_protected", "sub"];
/// What every token is checked for anyway.
const CHECKED_ANYWAY: [&str; 6] = ["iss", "aud", "exp", "iat", "nbf", "jti"];
/// Values that one claim may have.
const VALUES_MAX: usize = 64;
/// Claims of one workload.
const CLAIMS_MAX: usize = 32;
/// How deep claims lie within claims.
const DEPTH_MAX: usize = 8;

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
    /// Reads what is written: a table of values, of lists of values, and of such tables.
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
        self.missing(claims).next().is_none()
    }

    /// Claims that a token lacks or has otherwise, by their path.
    pub(super) fn missing<'a>(&'a self, claims: &'a Map<String, Value>) -> impl Iterator<Item = String> + 'a {
        let lacks =
            |required: &&Required| at(claims, &required.path).is_none_or(|found| !required.values.contains(found));
        self.0.iter().filter(lacks).map(Required::name)
    }

    /// Whether one of its claims is an id of the workload that is never given twice. `more` are claims that the operator
    /// knows as such.
    pub(super) fn is_identified(&self, more: &[String]) -> bool {
        self.0.iter().any(|required| {
            let path: Vec<&str> = required.path.iter().map(String::as_str).collect();
            IDS.contains(&path.as_slice()) || more.contains(&required.name()) || required.is_subject_by_id()
        })
    }

    /// The id that would say what its names do not.
    pub(super) fn fit_id(&self) -> &'static str {
        let names =
            |prefix: &str| self.0.iter().any(|one| one.path.first().is_some_and(|name| name.starts_with(prefix)));
        let subject = |prefix: &str| {
            let begins = |value: &Value| value.as_str().is_some_and(|text| text.starts_with(prefix));
            self.0.iter().any(|one| one.path == ["sub"] && one.values.iter().any(begins))
        };
        if names("repository") || names("job_workflow") || names("workflow") || subject("repo:") {
            "`repository_id`"
        } else if names("kubernetes.io") || subject("system:serviceaccount:") {
            "`\"kubernetes.io\".serviceaccount.uid`"
        } else if names("project") || names("namespace") || subject("project_path:") {
            "`project_id`"
        } else if names("google") || names("email") {
            "`sub`, which is a number, or `google.compute_engine.instance_id`"
        } else {
            "`repository_id`, `\"kubernetes.io\".serviceaccount.uid`, `project_id` or a `sub` that is no name"
        }
    }

    /// Whether it is any job of a whole repository or project, on whichever branch.
    pub(super) fn is_any_job(&self) -> bool {
        let has = |name: &str| self.0.iter().any(|required| required.path == [name]);
        (has("repository_id") || has("project_id")) && !JOBS.iter().any(|name| has(name))
    }

    /// Whether one token could be both: nothing that both ask for differs.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        let apart = |one: &Required, two: &Required| {
            // A value is no table, so whoever asks for a claim within it is somebody else.
            let within = |outer: &Required, inner: &Required| {
                inner.path.len() > outer.path.len() && inner.path.starts_with(&outer.path)
            };
            within(one, two)
                || within(two, one)
                || (one.path == two.path && !one.values.iter().any(|value| two.values.contains(value)))
        };
        !self.0.iter().any(|one| other.0.iter().any(|two| apart(one, two)))
    }
}

impl Required {
    fn name(&self) -> String {
        self.path.join(".")
    }

    /// A `sub` is never given twice (OpenID Connect Core 1.0 §2), unless it is put together from names after all; GitHub
    /// puts it together from names with their ids.
    fn is_subject_by_id(&self) -> bool {
        let by_id =
            |value: &Value| value.as_str().is_some_and(|text| !text.contains([':', '/']) || is_repository_by_id(text));
        self.path == ["sub"] && self.values.iter().all(by_id)
    }
}

/// `repo:owner@1/name@2:…`.
fn is_repository_by_id(subject: &str) -> bool {
    let has_id = |part: &str| {
        part.split_once('@')
            .is_some_and(|(name, id)| !name.is_empty() && !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
    };
    let repository = subject.strip_prefix("repo:").and_then(|rest| rest.split_once(':'));
    repository.and_then(|(names, _)| names.split_once('/')).is_some_and(|(owner, name)| has_id(owner) && has_id(name))
}

fn at<'a>(claims: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
}

fn collect(table: &toml::Table, path: &mut Vec<String>, required: &mut Vec<Required>) -> Result<(), String> {
    for (name, written) in table {
        if path.is_empty() && CHECKED_ANYWAY.contains(&name.as_str()) {
            return Err(format!("claim `{name}` says not who the workload is, and is checked anyway"));
        }
        path.push(name.clone());
        match written {
            toml::Value::Table(table) if path.len() < DEPTH_MAX && !table.is_empty() => collect(table, path, required)?,
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
    let path = || path.join(".");
    match written {
        toml::Value::String(text) if text.contains('*') => {
            Err(format!("claim `{}` is compared whole: `*` stands for nothing", path()))
        }
        toml::Value::String(text) if !text.is_empty() => Ok(Value::from(text.as_str())),
        toml::Value::Integer(number) => Ok(Value::from(*number)),
        toml::Value::Boolean(flag) => Ok(Value::from(*flag)),
        _ => Err(format!("claim `{}` is no text, whole number or truth value, nor a list of such", path())),
    }
}

#[cfg(test)]
mod tests;
