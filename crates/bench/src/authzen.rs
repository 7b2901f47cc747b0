//! AuthZEN evaluations over connections that stay open: as many as come, and at a pace of 1,000 a second.

use std::sync::Arc;

use bailiwick_testkit_broker::http_client::HttpClient;
use serde_json::json;

use crate::{
    figure::tell,
    gateway::caller::{Proofs, Signed},
    load::{Asks, closed, paced},
    plan::Plan,
    site::{ROLE, SYSTEM, Site},
    wire::Connection,
};

const TABLE: &str = "authzen";
const CONNECTIONS: usize = 16;
const PACE_PER_S: u32 = 1_000;
const PROOFS_PER_S: f64 = 20_000.0;

/// An enforcement point.
struct Asker {
    connection: Connection,
    credential: Credential,
    body: hyper::body::Bytes,
}

enum Credential {
    Bearer(String),
    Proofs(Arc<Proofs>, Signed),
}

impl Asker {
    async fn send(&mut self) -> crate::wire::Answer {
        let body = self.body.clone();
        let json = ("content-type", "application/json");
        match &mut self.credential {
            Credential::Bearer(authorization) => {
                self.connection.post(&[json, ("authorization", authorization.as_str())], body).await
            }
            Credential::Proofs(proofs, signed) => {
                let proof = signed.next(proofs);
                let headers = [json, ("authorization", proofs.authorization()), ("dpop", proof.as_str())];
                self.connection.post(&headers, body).await
            }
        }
    }
}

impl Asks for Asker {
    async fn ask(&mut self) {
        let mut answer = self.send().await;
        if let Credential::Proofs(_, signed) = &mut self.credential
            && signed.learn(&answer)
        {
            answer = self.send().await;
        }
        let text = answer.text();
        assert!(answer.status.is_success() && text.contains("\"decision\":true"), "{} {text}", answer.status);
    }

    fn prepare(&mut self, questions: usize) {
        if let Credential::Proofs(proofs, signed) = &mut self.credential {
            signed.prepare(proofs, questions);
        }
    }
}

pub(crate) async fn measure(plan: &Plan) {
    let site = Site::new();
    site.broker.register("clerk-1", ROLE, &[]);
    let scope = ["--scope", "access:evaluate"];
    let bound = Arc::new(site.broker.register("asker-1", ROLE, &scope));
    let plain = site.broker.register("asker-2", ROLE, &[&scope[..], &["--danger-allow-bearer-tokens"]].concat());
    let bound_token = HttpClient::connect_at(&site.broker, &bound, "/access/v1").await.token;
    let plain_token = crate::tokens::bearer(&site.broker, &plain, "/access/v1").await;
    let url = format!("{}/access/v1/evaluation", site.broker.url());
    let proofs = Arc::new(Proofs::new(Arc::clone(&bound), &url, &bound_token));
    let question = json!({
        "subject": { "type": "agent", "id": "clerk-1" },
        "action": { "name": format!("{SYSTEM}.tool_0") },
        "resource": { "type": "tool", "id": format!("{SYSTEM}.tool_0") },
        "context": { "arguments": { "id": "42" } },
    })
    .to_string();
    let (mut with_proofs, mut with_bearer) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let body = hyper::body::Bytes::from(question.clone());
        let credential = Credential::Proofs(Arc::clone(&proofs), Signed::default());
        with_proofs.push(Asker { connection: Connection::open(&url).await, credential, body: body.clone() });
        let credential = Credential::Bearer(format!("Bearer {plain_token}"));
        with_bearer.push(Asker { connection: Connection::open(&url).await, credential, body });
    }
    let each = (PROOFS_PER_S * plan.round.as_secs_f64()) as usize / CONNECTIONS;
    for _ in 0..plan.rounds {
        for (what, askers) in [("bearer token", &mut with_bearer), ("token and proof", &mut with_proofs)] {
            askers.iter_mut().for_each(|asker| asker.prepare(each));
            let (back, answers) = closed(std::mem::take(askers), plan.round).await;
            let row = format!("{what}, {CONNECTIONS} connections");
            tell(TABLE, &row, "rate", answers.rate());
            tell(TABLE, &row, "p50_ms", answers.percentile_ms(50));
            tell(TABLE, &row, "p99_ms", answers.percentile_ms(99));
            let (back, answers) = paced(back, PACE_PER_S, plan.round).await;
            let row = format!("{what}, 1,000 a second");
            tell(TABLE, &row, "rate", answers.rate());
            tell(TABLE, &row, "p50_ms", answers.percentile_ms(50));
            tell(TABLE, &row, "p99_ms", answers.percentile_ms(99));
            *askers = back;
        }
    }
}
