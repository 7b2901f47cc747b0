//! Delegation among agents over the real router: from a hand-over to a decided call, and every way to get more.

use std::collections::BTreeSet;

use bailiwick_engine::{
    authorize::authorize,
    caller::{Caller, RawCall},
    grants,
    tasks::{self, TaskAsk, Work},
    tokens::{self, Audience, TokenAsk},
    users,
};
use bailiwick_model::{
    confirmation::Confirmation,
    decision::ReasonCode,
    grant::{Grant, GrantKind, GrantStatus},
    id::{GrantId, TaskId, TokenId},
    principal::{DelegationChain, Principal},
    task::{Pin, ToolGrant},
};
use bailiwick_web::{refused::ProtectedResource, verify};
use jiff::SignedDuration;

use super::*;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The scene with four agents that work together, or not.
pub(super) async fn cast() -> Scene {
    let mut world = World::new().await;
    world.publish(bundle::with_delegation()).await;
    for (name, role) in [("support", "support"), ("writer", "writer"), ("proof", "proof"), ("other", "other")] {
        world.enlist(name, role).await;
    }
    Scene { router: endpoint(&world), world }
}

pub(super) fn resource_of(agent: &str) -> String {
    format!("{ISSUER}/agents/{agent}")
}

impl Scene {
    /// `from` asks for a token that hands `scope` over to `to`.
    pub(super) async fn hand_over(&self, from: &str, to: &str, scope: &str, task: Option<TaskId>) -> Answer {
        let mut form = with(self.form(from), "resource", &resource_of(to));
        form.push(("scope", scope.to_owned()));
        form.extend(task.map(|task| ("bailiwick_task", task.to_string())));
        self.ask(&form, Some(self.proof(from))).await
    }

    pub(super) fn exchange_form(&self, agent: &str, subject: &str) -> Vec<(&'static str, String)> {
        let mut form = with(self.form(agent), "grant_type", EXCHANGE);
        form.push(("subject_token", subject.to_owned()));
        form.push(("subject_token_type", ACCESS_TOKEN.to_owned()));
        form
    }

    pub(super) async fn exchange(&self, agent: &str, subject: &str) -> Answer {
        self.ask(&self.exchange_form(agent, subject), Some(self.proof(agent))).await
    }

    /// `writer` with what `support` handed to it.
    async fn delegated(&self, scope: &str, task: Option<TaskId>) -> String {
        let handed = self.hand_over("support", "writer", scope, task).await;
        token(&self.exchange("writer", &token(&handed)).await)
    }

    pub(super) async fn verified(&self, agent: &str, token: &str) -> Result<Caller, u16> {
        let entrance =
            Entrance::new(Arc::clone(&self.world.broker), self.world.nonces(), DeclaredProxies::default()).unwrap();
        let resource = ProtectedResource {
            only_asks: false,
            audience: RESOURCE.to_owned(),
            scopes: BTreeSet::new(),
            at: "gateway",
        };
        let proof = self.world.proof(agent, "POST", RESOURCE, Some(token));
        let message =
            Request::post("/mcp/files").header("authorization", format!("DPoP {token}")).header("dpop", proof);
        let parts = message.body(()).unwrap().into_parts().0;
        verify::verify(&entrance, &parts, &resource).await.map_err(|refused| refused.status().as_u16())
    }

    /// What comes of a call with a token: `Ok`, or why not.
    pub(super) async fn call(&self, agent: &str, token: &str, tool: &str, path: &str) -> Result<(), ReasonCode> {
        let caller = self.verified(agent, token).await.expect("the token holds");
        let arguments = json!({"path": path, "content": "x"});
        let mut arguments = arguments.as_object().unwrap().clone();
        if tool == "read_text_file" {
            arguments.remove("content");
        }
        let call = RawCall {
            system: &bundle::system(),
            method: "tools/call",
            name: Some(tool),
            arguments: &arguments,
            declared: None,
            client_call: None,
        };
        match authorize(&self.world.broker, &caller, call).await {
            Ok(_) => Ok(()),
            Err(denied) => Err(denied.reasons()[0].code),
        }
    }

    async fn task(&self, agent: &str, under: &str) -> TaskId {
        let pins = [("path".to_owned(), Pin::Under(under.to_owned()))].into();
        let ask = TaskAsk {
            agent: agent.parse().unwrap(),
            purpose: "test".to_owned(),
            prompt: None,
            work: Work::Tools(vec![ToolGrant { action: "files.write_file".parse().unwrap(), pins }]),
            lifetime_s: None,
        };
        tasks::create(&self.world.broker, &operator(), ask).await.unwrap().id
    }
}

#[track_caller]
pub(super) fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    answer.json["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_writing_agent_drafts_for_a_support_agent_and_gets_no_more() {
    let scene = cast().await;
    let handed = scene.hand_over("support", "writer", "files:write", None).await;
    assert_eq!((handed.json["token_type"].as_str(), handed.json["expires_in"].as_u64()), (Some("Bearer"), Some(300)));
    let subject = token(&handed);
    let claims = part(&subject, 1);
    assert_eq!((&claims["aud"], &claims["may_act"]), (&json!(resource_of("writer")), &json!({"sub": "writer"})));
    assert!(claims.get("cnf").is_none() && claims.get("act").is_none());
    assert_eq!(scene.verified("support", &subject).await.err(), Some(401), "it opens nothing, whoever presents it");
    assert_eq!(scene.verified("writer", &subject).await.err(), Some(401));

    let answer = scene.exchange("writer", &subject).await;
    assert_eq!(
        (answer.json["issued_token_type"].as_str(), answer.json["token_type"].as_str()),
        (Some(ACCESS_TOKEN), Some("DPoP"))
    );
    assert_eq!(answer.json["scope"], "files:write");
    assert!(answer.json.get("refresh_token").is_none());
    let acting = token(&answer);
    let claims = part(&acting, 1);
    assert_eq!((&claims["sub"], &claims["act"]), (&json!("support"), &json!({"sub": "writer"})));
    assert!(claims["bailiwick_grant"].is_string() && claims.get("may_act").is_none());
    assert!(claims["exp"].as_i64() <= part(&subject, 1)["exp"].as_i64(), "it ends no later than what it came from");

    assert_eq!(scene.call("writer", &acting, "write_file", "/data/draft").await, Ok(()));
    let read = scene.call("writer", &acting, "read_text_file", "/data/crm").await;
    assert!(read.is_err(), "the writer's own role does not read");
    let intent = &scene.world.events("intent").await[0];
    let chain = vec!["agent:support", "agent:writer"];
    assert_eq!(intent.body["chain"], chain.into(), "every hop stands in the evidence");
    assert_eq!(intent.body["grant"], claims["bailiwick_grant"].as_str().unwrap().into());
    let given = &scene.world.events("grant_changed").await[0];
    assert_eq!(given.body["delegated_by"], "role:support:delegates-to:writer".into());
}

#[tokio::test]
async fn nobody_delegates_unless_policy_says_so_and_only_while_it_does() {
    let scene = cast().await;
    for (from, to) in
        [("other", "writer"), ("support", "other"), ("support", "proof"), ("support", "support"), ("support", "ghost")]
    {
        refused(&scene.hand_over(from, to, "files:write", None).await, 400, "invalid_target");
    }
    let nothing = with(scene.form("support"), "resource", &resource_of("writer"));
    refused(&scene.ask(&nothing, Some(scene.proof("support"))).await, 400, "invalid_scope");
    refused(
        &scene.hand_over("support", "writer", "files:delete files:write files:x", None).await,
        400,
        "invalid_scope",
    );

    let acting = scene.delegated("files:write", None).await;
    let handed = token(&scene.hand_over("support", "writer", "files:write", None).await);
    assert_eq!(scene.call("writer", &acting, "write_file", "/a").await, Ok(()));
    let mut files = bundle::with_delegation()
        .iter()
        .map(|(p, b)| (p.to_owned(), b.to_vec()))
        .collect::<std::collections::BTreeMap<_, _>>();
    let role = String::from_utf8(files["roles/support.toml"].clone()).unwrap();
    let without = role.replace("delegates_to = [\"writer\"]", "");
    files.insert("roles/support.toml".to_owned(), without.into_bytes());
    scene.world.publish(bailiwick_model::bundle::BundleFiles::new(files).unwrap()).await;
    assert_eq!(
        scene.call("writer", &acting, "write_file", "/a").await,
        Err(ReasonCode::DelegationNotAllowed),
        "the very next call is decided by the bundle of now"
    );
    refused(&scene.exchange("writer", &handed).await, 400, "invalid_target");
    scene.world.publish(bundle::with_delegation()).await;
    assert_eq!(scene.call("writer", &acting, "write_file", "/a").await, Ok(()));
    token(&scene.exchange("writer", &handed).await);
}

#[tokio::test]
async fn a_token_is_good_for_the_agent_that_it_names_and_once() {
    let scene = cast().await;
    let subject = token(&scene.hand_over("support", "writer", "files:write", None).await);
    refused(&scene.exchange("proof", &subject).await, 400, "invalid_request");
    refused(&scene.exchange("support", &subject).await, 400, "invalid_request");
    assert_eq!(scene.exchange("writer", &subject).await.status, 200);
    refused(&scene.exchange("writer", &subject).await, 400, "invalid_request");

    let own = token(&scene.honest("support").await);
    let stolen = scene.exchange("writer", &own).await;
    refused(&stolen, 400, "invalid_request");
    let acting = scene.delegated("files:write", None).await;
    refused(&scene.exchange("proof", &acting).await, 400, "invalid_request");

    let late = token(&scene.hand_over("support", "writer", "files:write", None).await);
    scene.world.clock.advance(300);
    refused(&scene.exchange("writer", &late).await, 400, "invalid_request");
    for forged in ["x.y.z", "", "a"] {
        assert_eq!(scene.exchange("writer", forged).await.status, 400);
    }
    let events = scene.world.events("token_refused").await;
    assert!(events.iter().any(|event| event.body["why"] == "subject token".into()));
}

#[tokio::test]
async fn what_was_forged_with_our_own_key_gains_nothing() {
    let mut scene = cast().await;
    let subject = token(&scene.hand_over("support", "writer", "files:write", None).await);
    let (header, honest) = (part(&subject, 0), part(&subject, 1));
    let changed = |changes: Value| {
        let mut claims = honest.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        scene.world.sign_as_issuer(&header, &claims)
    };
    let forged = [
        changed(json!({"may_act": {"sub": "writer", "act": {"sub": "x"}}})),
        changed(json!({"act": {"sub": "other"}})),
        changed(json!({"sub": "other", "client_id": "support"})),
        changed(json!({"sub": "writer", "act": {"sub": "support"}})),
        changed(json!({"sub": "support", "act": {"sub": "writer", "act": {"sub": "proof"}}, "client_id": "writer"})),
        changed(json!({"aud": RESOURCE})),
        changed(json!({"iss": "https://evil.test"})),
    ];
    for forged in forged {
        scene.router = endpoint(&scene.world);
        let answer = scene.exchange("writer", &forged).await;
        assert_eq!(answer.status, 400, "{:?}", answer.json);
        assert!(answer.json.get("access_token").is_none());
    }
}

#[tokio::test]
async fn no_hop_gets_more_than_the_one_before_it() {
    let scene = cast().await;
    let hand = async |scope: &str| token(&scene.hand_over("support", "writer", scope, None).await);
    let subject = hand("files.write_file").await;
    let wider = with(scene.exchange_form("writer", &subject), "scope", "files:write");
    refused(&scene.ask(&wider, Some(scene.proof("writer"))).await, 400, "invalid_scope");
    let elsewhere = with(scene.exchange_form("writer", &subject), "resource", "https://broker.test/mcp/mail");
    refused(&scene.ask(&elsewhere, Some(scene.proof("writer"))).await, 400, "invalid_target");
    for nowhere in
        ["https://broker.test/access/v1", "https://broker.test/hook/claude-code", "https://evil.test/mcp/files"]
    {
        let form = with(scene.exchange_form("writer", &subject), "resource", nowhere);
        refused(&scene.ask(&form, Some(scene.proof("writer"))).await, 400, "invalid_target");
    }
    refused(&scene.ask(&scene.exchange_form("writer", &subject), None).await, 400, "invalid_dpop_proof");
    let actor = with(scene.exchange_form("writer", &subject), "actor_token", &subject);
    refused(&scene.ask(&actor, Some(scene.proof("writer"))).await, 400, "invalid_request");
    let answer = scene.exchange("writer", &subject).await;
    assert_eq!(answer.json["scope"], "files.write_file", "after all those refusals it is still good");

    // And on: what the writer hands to a third is no more than it has, and names all three.
    let acting = token(&answer);
    let mut on = with(scene.exchange_form("writer", &acting), "resource", &resource_of("proof"));
    refused(&scene.ask(&on, Some(scene.proof("writer"))).await, 400, "invalid_scope");
    let more = with(on.clone(), "scope", "files:write");
    let more = with(more, "client_assertion", &scene.world.assertion("writer"));
    refused(&scene.ask(&more, Some(scene.proof("writer"))).await, 400, "invalid_scope");
    on = with(with(on, "scope", "files.write_file"), "client_assertion", &scene.world.assertion("writer"));
    let handed = token(&scene.ask(&on, Some(scene.proof("writer"))).await);
    let third = token(&scene.exchange("proof", &handed).await);
    assert_eq!(part(&third, 1)["act"], json!({"sub": "proof", "act": {"sub": "writer"}}));
    assert_eq!(scene.call("proof", &third, "write_file", "/a").await, Ok(()));
    let back = with(on, "resource", &resource_of("support"));
    let back = with(back, "client_assertion", &scene.world.assertion("writer"));
    refused(&scene.ask(&back, Some(scene.proof("writer"))).await, 400, "invalid_target");
}

#[tokio::test]
async fn a_task_narrows_whoever_it_is_handed_on_to() {
    let scene = cast().await;
    let (above, inside, outside) = (
        scene.task("support", "/data").await,
        scene.task("writer", "/data/a").await,
        scene.task("writer", "/etc").await,
    );
    let acting = scene.delegated("files:write", Some(above)).await;
    assert_eq!(scene.call("writer", &acting, "write_file", "/data/b").await, Ok(()));
    assert_eq!(scene.call("writer", &acting, "write_file", "/etc/x").await, Err(ReasonCode::TaskPin));

    let subject = token(&scene.hand_over("support", "writer", "files:write", Some(above)).await);
    let in_task = |task: TaskId| with(scene.exchange_form("writer", &subject), "bailiwick_task", &task.to_string());
    refused(&scene.ask(&in_task(outside), Some(scene.proof("writer"))).await, 400, "invalid_request");
    refused(&scene.ask(&in_task(above), Some(scene.proof("writer"))).await, 400, "invalid_request");
    let narrower = token(&scene.ask(&in_task(inside), Some(scene.proof("writer"))).await);
    assert_eq!(scene.call("writer", &narrower, "write_file", "/data/a/x").await, Ok(()));
    assert_eq!(scene.call("writer", &narrower, "write_file", "/data/b").await, Err(ReasonCode::TaskPin));

    tasks::end(&scene.world.broker, &operator(), above, "done").await.unwrap();
    for token in [&acting, &narrower] {
        assert_eq!(scene.verified("writer", token).await.err(), Some(401), "ends with the task it was handed over in");
    }
    let ended = scene.world.broker.live();
    assert!(ended.grants.is_empty(), "and nothing of it is left");
}

#[tokio::test]
async fn a_delegation_ends_with_whatever_it_came_from() {
    let scene = cast().await;
    let handed = token(&scene.hand_over("support", "writer", "files:write", None).await);
    let first = token(&scene.exchange("writer", &handed).await);
    let second = scene.delegated("files:write", None).await;
    let id: TokenId = part(&handed, 1)["jti"].as_str().unwrap().parse().unwrap();
    let until = scene.world.clock.now() + SignedDuration::from_secs(300);
    grants::revoke_token(&scene.world.broker, &operator(), id, until).await.unwrap();
    assert_eq!(scene.verified("writer", &first).await.err(), Some(401), "what it came from was revoked");
    assert!(scene.verified("writer", &second).await.is_ok(), "another hand-over is another matter");

    let name = "support".parse().unwrap();
    agents::suspend(&scene.world.broker, &operator(), &name, "test").await.unwrap();
    assert_eq!(scene.call("writer", &second, "write_file", "/a").await, Err(ReasonCode::PrincipalInactive));
    agents::resume(&scene.world.broker, &operator(), &name, "test").await.unwrap();
    assert_eq!(scene.call("writer", &second, "write_file", "/a").await, Ok(()));
    let pending = token(&scene.hand_over("support", "writer", "files:write", None).await);
    agents::retire(&scene.world.broker, &operator(), &name, "test").await.unwrap();
    assert_eq!(scene.verified("writer", &second).await.err(), Some(401));
    refused(&scene.exchange("writer", &pending).await, 400, "invalid_request");
}

/// What came of a grant leaves its row as soon as it is over, and memory a little later.
#[tokio::test]
async fn a_grant_ends_whatever_came_of_it_and_is_over() {
    let scene = cast().await;
    let broker = &scene.world.broker;
    users::add(broker, &operator(), "u-1".parse().unwrap(), "Ada", None, BTreeSet::new()).await.unwrap();
    let (consent, own) = on_behalf_of(&scene, "u-1").await;
    let on = with(scene.exchange_form("support", &own), "resource", &resource_of("writer"));
    let on = with(on, "scope", "files:write");
    let handed = token(&scene.ask(&on, Some(scene.proof("support"))).await);
    token(&scene.exchange("writer", &handed).await);
    assert_eq!(broker.live().grants.size(), 2);
    scene.world.clock.advance(301);
    for _ in 0..2 {
        token(&scene.honest("other").await);
    }
    assert_eq!(broker.live().grants.size(), 2, "nothing swept the memory yet");
    let ended = grants::end(broker, &operator(), consent, "withdrawn").await.unwrap();
    assert_eq!(ended, [consent].into());
    assert!(broker.live().grants.get(&consent).is_none());
}

/// A token of `support` that a user's consent gave it.
async fn on_behalf_of(scene: &Scene, user: &str) -> (GrantId, String) {
    let (now, agent) = (scene.world.clock.now(), "support");
    let chain = vec![Principal::User(user.parse().unwrap()), Principal::Agent(agent.parse().unwrap())];
    let grant = Grant {
        id: GrantId::from_bytes([7; 16]),
        kind: GrantKind::AuthorizationCode,
        chain: DelegationChain::new(chain).unwrap(),
        parent: None,
        subject: None,
        resources: [RESOURCE.to_owned()].into(),
        scopes: ["files:read".parse().unwrap(), "files:write".parse().unwrap()].into(),
        details: None,
        task: None,
        authentication: None,
        vouched: None,
        status: GrantStatus::Active,
        created_at: now,
        expires_at: now + SignedDuration::from_secs(3_600),
    };
    let grant = grants::give(&scene.world.broker, &operator(), grant, Vec::new()).await.unwrap().id;
    let thumbprint = scene.world.key(agent).public().thumbprint;
    let ask = TokenAsk {
        agent: agent.parse().unwrap(),
        credential: thumbprint,
        grant: Some(grant),
        audience: Audience::System(bundle::system()),
        scopes: None,
        details: None,
        task: None,
        confirmation: Some(Confirmation::Key(thumbprint)),
        spent: Vec::new(),
    };
    (grant, tokens::issue(&scene.world.broker, ask).await.unwrap().token.expose().clone())
}

#[tokio::test]
async fn a_user_at_the_head_is_decided_on_at_every_hop() {
    let scene = cast().await;
    let (broker, user) = (&scene.world.broker, "u-1".parse().unwrap());
    let sales = BTreeSet::from(["sales".to_owned()]);
    users::add(broker, &operator(), user, "Ada", None, sales.clone()).await.unwrap();
    let (consent, own) = on_behalf_of(&scene, "u-1").await;
    let on = with(scene.exchange_form("support", &own), "resource", &resource_of("writer"));
    let on = with(on, "scope", "files:write");
    let handed = token(&scene.ask(&on, Some(scene.proof("support"))).await);
    let acting = token(&scene.exchange("writer", &handed).await);
    assert_eq!(part(&acting, 1)["sub"], "user:u-1");
    assert_eq!(part(&acting, 1)["act"], json!({"sub": "writer", "act": {"sub": "support"}}));
    assert_eq!(scene.call("writer", &acting, "write_file", "/a").await, Ok(()));

    let user = "u-1".parse().unwrap();
    users::set_groups(broker, &operator(), &user, BTreeSet::new()).await.unwrap();
    assert_eq!(
        scene.call("writer", &acting, "write_file", "/a").await,
        Err(ReasonCode::NoPermit),
        "it flips with the user"
    );
    users::set_groups(broker, &operator(), &user, sales).await.unwrap();
    assert_eq!(scene.call("writer", &acting, "write_file", "/a").await, Ok(()));
    grants::end(broker, &operator(), consent, "withdrawn").await.unwrap();
    assert_eq!(scene.verified("writer", &acting).await.err(), Some(401), "and ends with the consent");
    refused(
        &scene
            .ask(&with(on, "client_assertion", &scene.world.assertion("support")), Some(scene.proof("support")))
            .await,
        400,
        "invalid_request",
    );
}
