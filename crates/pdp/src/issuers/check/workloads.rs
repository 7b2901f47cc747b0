//! Which workloads of a platform are agents, held against itself: each known by an id, no two of them possibly one.

use toml::Spanned;

use super::Checking;
use crate::{
    finding::Finding,
    issuers::{
        TOKEN_AGE_S, Workloads,
        claims::{Matcher, NO_IDS},
        file::{WorkloadAgentFile, WorkloadFile},
    },
};

/// Workloads of one issuer.
const WORKLOADS_MAX: usize = 1_024;

impl Checking<'_> {
    /// Of an issuer whose tokens may be `age_s_max` seconds old.
    pub(super) fn workloads(&mut self, written: &Spanned<WorkloadFile>, age_s_max: u64) -> Workloads {
        let WorkloadFile { danger_tokens_reused, danger_immutable, agents: entries } = written.get_ref();
        if entries.is_empty() || entries.len() > WORKLOADS_MAX {
            let help = "add `[[workload.agents]]` with `agent` and `claims`";
            self.refuse(written, "workload-agents", format!("an issuer has 1 to {WORKLOADS_MAX} workloads"), help);
        }
        if *danger_tokens_reused && age_s_max > TOKEN_AGE_S {
            let message = format!("tokens that are good again and again may be {TOKEN_AGE_S} s old at most");
            self.refuse(written, "workload-age", message, "write a smaller `max_age_s`, or leave it out");
        }
        for claim in danger_immutable {
            if NO_IDS.contains(&claim.get_ref().as_str()) {
                let message = format!("`{}` is a name, or many workloads have it", claim.get_ref());
                self.refuse(claim, "workload-mutable", message, "name only ids that one workload has, for good");
            }
        }
        let immutable: Vec<String> = danger_immutable.iter().map(|claim| claim.get_ref().clone()).collect();
        let mut agents = Vec::new();
        for entry in entries.iter().take(WORKLOADS_MAX) {
            let Some(matcher) = self.matcher(entry, &immutable) else { continue };
            let Some(agent) = self.parsed(&entry.agent, "workload-agent") else { continue };
            let other = agents.iter().find(|(other, theirs)| *other != agent && matcher.may_be(theirs));
            if let Some((other, _)) = other {
                let message = format!("one token could be `{agent}` and `{other}`");
                let help = "give both the same claim with different values, such as `environment`";
                self.refuse(&entry.claims, "workload-overlap", message, help);
            }
            agents.push((agent, matcher));
        }
        Workloads { tokens_reused: *danger_tokens_reused, agents }
    }

    fn matcher(&mut self, entry: &WorkloadAgentFile, immutable: &[String]) -> Option<Matcher> {
        let agent = entry.agent.get_ref();
        let matcher = match Matcher::read(entry.claims.get_ref()) {
            Ok(matcher) => matcher,
            Err(message) => {
                let help = "write `claims = { repository_id = \"42\", environment = \"production\" }`";
                self.refuse(&entry.claims, "workload-claims", message, help);
                return None;
            }
        };
        if !matcher.is_identified(immutable) {
            let message = format!("the workload of `{agent}` is known by names alone, or by what many workloads have");
            let help = format!("a name can be given up and taken by a stranger: add {}", matcher.fit_id());
            self.refuse(&entry.claims, "workload-mutable", message, &help);
        }
        if matcher.is_any_job() {
            let message = format!("any job of the repository, on any branch, is `{agent}`");
            let finding = Finding::warning("workload-broad", self.path, message);
            let help = "add `environment`, `job_workflow_ref` or `ref`";
            self.findings.push(finding.at_byte(self.text, entry.claims.span().start).with_help(help));
        }
        Some(matcher)
    }
}
