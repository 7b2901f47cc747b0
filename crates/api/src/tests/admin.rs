//! Administration through its real router: each operation, what it leaves in the evidence, what it refuses.

use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_testkit_engine::bundle;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Answer, Scene};

fn jwk() -> Value {
    let key = AgentKey::generate(SigningAlgorithm::EdDSA).unwrap();
    serde_json::from_str(key.public_jwk()).unwrap()
}

fn registration() -> Value {
    json!({"name": "mailer", "owner": "ops", "purpose": "Send mail", "environment": "production", "role": "reader", "key": jwk()})
}

#[track_caller]
fn ok(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text);
    answer.json()
}

#[track_caller]
fn refused(answer: &Answer, status: u16, words: &str) {
    let json = answer.json();
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(
        (json["status"].as_u64(), json["type"].as_str().map(|t| t.starts_with("/reasons#"))),
        (Some(u64::from(status)), Some(true))
    );
    assert!(answer.text.contains(words), "{words}: {}", answer.text);
}

#[tokio::test]
async fn the_life_of_an_agent() {
    let scene = Scene::new().await;
    let agent = ok(&scene.admin("POST", "/api/v1/agents", Some(registration())).await, 201);
    assert_eq!((agent["state"].as_str(), agent["promoted"].as_bool()), (Some("active"), Some(false)));
    assert_eq!(agent["keys"].as_array().unwrap().len(), 1);
    refused(&scene.admin("POST", "/api/v1/agents", Some(registration())).await, 409, "never given twice");
    let why = || Some(json!({"reason": "test"}));
    assert_eq!(ok(&scene.admin("POST", "/api/v1/agents/mailer/promote", why()).await, 200)["promoted"], true);
    assert_eq!(ok(&scene.admin("POST", "/api/v1/agents/mailer/suspend", why()).await, 200)["state"], "suspended");
    assert_eq!(ok(&scene.admin("POST", "/api/v1/agents/mailer/resume", why()).await, 200)["state"], "active");
    let two = ok(&scene.admin("POST", "/api/v1/agents/mailer/keys", Some(json!({"key": jwk()}))).await, 201);
    let kid = two["keys"][0]["kid"].as_str().unwrap();
    let one = ok(&scene.admin("DELETE", &format!("/api/v1/agents/mailer/keys/{kid}"), None).await, 200);
    assert_eq!(one["keys"].as_array().unwrap().len(), 1);
    let last = one["keys"][0]["kid"].as_str().unwrap();
    refused(&scene.admin("DELETE", &format!("/api/v1/agents/mailer/keys/{last}"), None).await, 409, "retire");
    assert_eq!(ok(&scene.admin("POST", "/api/v1/agents/mailer/retire", why()).await, 200)["state"], "retired");
    refused(&scene.admin("POST", "/api/v1/agents/mailer/resume", why()).await, 409, "retired");
    let listed = ok(&scene.admin("GET", "/api/v1/agents", None).await, 200);
    assert_eq!(listed["agents"].as_array().unwrap().len(), 4);
    let changes = scene.world.events("agent_changed").await;
    assert_eq!(changes.len(), 3 + 7, "the world's three registrations and these");
    assert!(changes.iter().skip(3).all(|event| event.body["by"] == "operator:root".into()));
}

#[tokio::test]
async fn registrations_say_what_they_lack() {
    let scene = Scene::new().await;
    let private = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"});
    for (member, value, status, words) in [
        ("owner", Some(json!("")), 400, "owner is missing"),
        ("owner", None, 400, "owner is missing"),
        ("purpose", None, 400, "purpose is missing"),
        ("name", Some(json!("Mailer")), 400, "not a valid agent name"),
        ("environment", Some(json!("prod")), 400, "production"),
        ("role", Some(json!("admin")), 400, "not in the active bundle"),
        ("key", Some(json!({"kty": "oct", "k": "c2VjcmV0"})), 400, "the key cannot be used"),
        ("key", Some(private), 400, "the key cannot be used"),
        ("key", None, 400, "an agent has 1 to 8 credentials"),
        ("token_ttl_s", Some(json!(86_400)), 400, "3600"),
        ("bearer", Some(json!(true)), 400, "unknown field `bearer`"),
        ("client_secret", Some(json!("x")), 400, "unknown field `client_secret`"),
    ] {
        let mut body = registration();
        match value {
            Some(value) => body[member] = value,
            None => drop(body.as_object_mut().unwrap().remove(member)),
        }
        refused(&scene.admin("POST", "/api/v1/agents", Some(body)).await, status, words);
    }
    refused(&scene.admin("GET", "/api/v1/agents/nobody", None).await, 404, "does not exist");
    refused(&scene.admin("GET", "/api/v1/agents/NOBODY", None).await, 400, "not a valid agent name");
    refused(&scene.admin("POST", "/api/v1/agents/reader/suspend", Some(json!({}))).await, 400, "reason is missing");
    assert_eq!(scene.world.events("agent_changed").await.len(), 3);
}

#[tokio::test]
async fn the_life_of_a_task() {
    let scene = Scene::new().await;
    let body = json!({"agent": "reader", "purpose": "Look up one file", "prompt": "read a.txt, please",
        "tools": [{"action": "files.read_text_file", "pins": {"path": {"one_of": ["/data/a.txt"]}}}]});
    let task = ok(&scene.admin("POST", "/api/v1/tasks", Some(body.clone())).await, 201);
    assert_eq!((task["state"].as_str(), task["prompt_kept"].as_bool()), (Some("open"), Some(true)));
    assert_eq!(task["tools"], body["tools"]);
    let path = format!("/api/v1/tasks/{}", task["id"].as_str().unwrap());
    assert_eq!(ok(&scene.admin("GET", "/api/v1/tasks", None).await, 200)["tasks"][0], task);
    let check = |file: &str| json!({"agent": "reader", "system": "files", "name": "read_text_file", "arguments": {"path": file}, "task": task["id"]});
    assert_eq!(ok(&scene.admin("POST", "/api/v1/check", Some(check("/data/a.txt"))).await, 200)["decision"], "allow");
    let outside = ok(&scene.admin("POST", "/api/v1/check", Some(check("/data/b.txt"))).await, 200);
    assert_eq!(outside["evaluated"]["decision"]["reasons"][0]["code"], "task_pin");
    let ended = ok(&scene.admin("POST", &format!("{path}/end"), Some(json!({}))).await, 200);
    assert_eq!((ended["state"].as_str(), ended["state_reason"].as_str()), (Some("ended"), Some("done")));
    assert_eq!(ok(&scene.admin("GET", &path, None).await, 200), ended);
    assert!(ok(&scene.admin("GET", "/api/v1/tasks", None).await, 200)["tasks"].as_array().unwrap().is_empty());
    refused(&scene.admin("POST", &format!("{path}/end"), Some(json!({}))).await, 409, "ended already");
    for (member, value, words) in [
        ("tools", json!([]), "names 1 to"),
        ("agent", json!("nobody"), "does not exist"),
        ("purpose", json!(" "), "purpose is missing"),
    ] {
        let mut body = body.clone();
        body[member] = value;
        assert!(scene.admin("POST", "/api/v1/tasks", Some(body)).await.text.contains(words), "{member}");
    }
    let log = ok(&scene.admin("GET", "/api/v1/audit/entries?limit=1000", None).await, 200).to_string();
    assert!(!log.contains("please"), "a prompt is never public");
}

#[tokio::test]
async fn systems_are_shown_discovered_and_proposed() {
    let scene = Scene::new().await;
    let system = ok(&scene.admin("GET", "/api/v1/systems", None).await, 200)["systems"][0].clone();
    assert_eq!((system["name"].as_str(), system["tools"].as_u64()), (Some("files"), Some(2)));
    let shown = ok(&scene.admin("GET", "/api/v1/systems/files", None).await, 200);
    assert_eq!(shown["pinned_tools"][0]["class"], "read");
    let found = ok(&scene.admin("POST", "/api/v1/systems/files/discover", None).await, 200);
    assert_eq!(found["discovered"]["tools"].as_array().unwrap().len(), 2);
    assert!(found["quarantine"].as_array().unwrap().is_empty());
    refused(&scene.admin("POST", "/api/v1/systems/mail/discover", None).await, 502, "not configured");
    refused(&scene.admin("GET", "/api/v1/systems/mail", None).await, 404, "does not exist");
    assert!(
        ok(&scene.admin("GET", "/api/v1/quarantine", None).await, 200)["quarantine"].as_array().unwrap().is_empty()
    );
    let new = json!({"toml": "[upstream]\nstdio = [\"server\"]\n"});
    let proposal = ok(&scene.admin("POST", "/api/v1/systems/mail/propose", Some(new)).await, 200);
    assert_eq!(proposal["tools"].as_array().unwrap().len(), 2);
    assert!(proposal["toml"].as_str().unwrap().contains("[tools.read_text_file]"));
    for toml in ["", "[upstream]\n", "[upstream]\nstdio = [\"a\"]\nurl = \"http://localhost\"\n", "x = ["] {
        refused(&scene.admin("POST", "/api/v1/systems/mail/propose", Some(json!({"toml": toml}))).await, 422, "errors");
    }
    assert!(
        scene.world.broker.live().policy.as_deref().unwrap().catalogue().system(&"mail".parse().unwrap()).is_none()
    );
}

fn encoded(extra: &[(&str, &str)]) -> Value {
    let mut files: serde_json::Map<String, Value> =
        bundle::files().iter().map(|(path, content)| (path.to_owned(), json!(STANDARD.encode(content)))).collect();
    for (path, content) in extra {
        files.insert((*path).to_owned(), json!(STANDARD.encode(content)));
    }
    Value::Object(files)
}

#[tokio::test]
async fn policy_is_validated_published_and_rolled_back() {
    let scene = Scene::new().await;
    let before = ok(&scene.admin("GET", "/api/v1/policy", None).await, 200)["revision"].clone();
    let forbids =
        "@id(\"no-a\")\nforbid (principal, action == Bailiwick::Action::\"files.read_text_file\", resource);\n";
    let stricter = encoded(&[("policies/organisation/a.cedar", forbids)]);
    let valid = ok(&scene.admin("POST", "/api/v1/policy/validate", Some(json!({"files": stricter}))).await, 200);
    assert_eq!(valid["publishable"], true, "{valid}");
    let question =
        json!({"agent": "reader", "system": "files", "name": "read_text_file", "arguments": {"path": "/data/a.txt"}});
    let decision =
        async || ok(&scene.admin("POST", "/api/v1/check", Some(question.clone())).await, 200)["decision"].clone();
    assert_eq!(decision().await, "allow");
    let published = ok(&scene.admin("POST", "/api/v1/policy/publish", Some(json!({"files": stricter}))).await, 200);
    assert_eq!((&published["previous"], &published["revision"]), (&before, &valid["revision"]));
    assert_eq!(decision().await, "deny");
    let back = ok(&scene.admin("POST", "/api/v1/policy/rollback", Some(json!({"revision": before}))).await, 200);
    assert_eq!(back["revision"], before);
    assert_eq!(decision().await, "allow");
    let revisions = ok(&scene.admin("GET", "/api/v1/policy/revisions", None).await, 200);
    assert_eq!(revisions["revisions"].as_array().unwrap().len(), 2);
    let path = format!("/api/v1/policy/revisions/{}", published["revision"].as_str().unwrap());
    assert_eq!(ok(&scene.admin("GET", &path, None).await, 200)["files"], stricter);
    assert!(scene.admin("GET", "/api/v1/policy/schema", None).await.text.contains("files.read_text_file"));
}

#[tokio::test]
async fn bundles_that_are_wrong_are_not_published() {
    let scene = Scene::new().await;
    let publish =
        async |files: Value| scene.admin("POST", "/api/v1/policy/publish", Some(json!({"files": files}))).await;
    let nameless = encoded(&[("policies/organisation/a.cedar", "permit (principal, action, resource);\n")]);
    let answer = publish(nameless).await;
    refused(&answer, 422, "does not compile");
    assert_eq!(answer.json()["errors"][0]["file"], "policies/organisation/a.cedar");
    let boundary = "@id(\"b\")\nforbid (principal, action in Bailiwick::Action::\"delete\", resource);\n";
    let boundary = encoded(&[("policies/boundary/b.cedar", boundary)]);
    refused(&publish(boundary.clone()).await, 409, "boundary_change_meant");
    refused(&publish(json!({"../etc/passwd": ""})).await, 400, "not a relative path");
    refused(&publish(json!({"roles/a.toml": "not base64!"})).await, 400, "not base64");
    let unknown = json!({"revision": format!("sha256:{}", "0".repeat(64))});
    refused(&scene.admin("POST", "/api/v1/policy/rollback", Some(unknown)).await, 404, "does not exist");
    let meant = json!({"files": boundary, "boundary_change_meant": true});
    let before = ok(&scene.admin("POST", "/api/v1/policy/publish", Some(meant)).await, 200)["previous"].clone();
    // Neither does going back take a boundary away unless that is meant.
    let back = |meant: bool| Some(json!({"revision": before, "boundary_change_meant": meant}));
    refused(&scene.admin("POST", "/api/v1/policy/rollback", back(false)).await, 409, "--boundary-changed");
    ok(&scene.admin("POST", "/api/v1/policy/rollback", back(true)).await, 200);
}

#[tokio::test]
async fn safe_mode_is_entered_and_lifted_with_a_reason() {
    let scene = Scene::new().await;
    let change = |scope: &str, reason: &str| Some(json!({"scope": scope, "reason": reason}));
    refused(&scene.admin("POST", "/api/v1/safe-mode/enter", change("everything", "")).await, 400, "reason is missing");
    refused(&scene.admin("POST", "/api/v1/safe-mode/enter", change("all", "x")).await, 400, "everything");
    let on = ok(&scene.admin("POST", "/api/v1/safe-mode/enter", change("system:files", "drill")).await, 200);
    assert_eq!(on["safe_modes"][0]["scope"], "system:files");
    refused(&scene.admin("POST", "/api/v1/safe-mode/enter", change("system:files", "drill")).await, 409, "already");
    refused(&scene.admin("POST", "/api/v1/safe-mode/lift", change("everything", "x")).await, 404, "does not exist");
    let off = ok(&scene.admin("POST", "/api/v1/safe-mode/lift", change("system:files", "over")).await, 200);
    assert_eq!(off, ok(&scene.admin("GET", "/api/v1/safe-mode", None).await, 200));
    assert_eq!(scene.world.events("safe_mode_changed").await.len(), 2);
}

#[tokio::test]
async fn observation_needs_a_reason_an_end_and_a_word_about_production() {
    let scene = Scene::new().await;
    let start = async |scope: &str, lifetime_s: u64, reason: &str, production: bool| {
        let body = json!({"scope": scope, "lifetime_s": lifetime_s, "reason": reason, "production": production});
        scene.admin("POST", "/api/v1/observations/start", Some(body)).await
    };
    refused(&start("system:files", 60, "", true).await, 400, "reason is missing");
    refused(&start("system:files", 0, "trial", true).await, 400, "not 0 seconds");
    refused(&start("system:files", 31 * 24 * 3_600, "trial", true).await, 400, "30 days at most, not 31 days");
    refused(&start("everything", 60, "trial", true).await, 400, "agent:<name>");
    refused(&start("system:nobody", 60, "trial", true).await, 404, "does not exist");
    refused(&start("agent:nobody", 60, "trial", true).await, 404, "does not exist");
    refused(&start("agent:reader", 60, "trial", false).await, 400, "--danger-production");
    let endless = json!({"scope": "system:files", "reason": "trial", "production": true});
    refused(&scene.admin("POST", "/api/v1/observations/start", Some(endless)).await, 400, "lifetime_s");
    assert_eq!(scene.world.events("observation_changed").await.len(), 0);

    let on = ok(&start("agent:reader", 60, "trial", true).await, 200);
    assert_eq!(on["observations"][0]["scope"], "agent:reader");
    assert_eq!(on["observations"][0]["would_deny"], 0);
    refused(&start("agent:reader", 60, "trial", true).await, 409, "already");
    let status = ok(&scene.admin("GET", "/api/v1/status", None).await, 200);
    assert_eq!(status["observations"][0]["scope"], "agent:reader");
    assert_eq!(status["connections"], json!({"enforced": 2, "observed": 1, "unknown": 0}));
    let one = ok(&scene.admin("GET", "/api/v1/connections?agent=reader", None).await, 200);
    assert_eq!(one["connections"][0]["state"], "observed");
    assert_eq!(one["connections"][0]["until"], on["observations"][0]["until"]);

    scene.world.clock.advance(60);
    let off = ok(&scene.admin("GET", "/api/v1/observations", None).await, 200);
    assert_eq!(off["observations"], json!([]), "its end has come");
    let again = ok(&start("agent:reader", 60, "more", true).await, 200);
    assert_eq!(again["observations"].as_array().unwrap().len(), 1);
    let stop = |reason: &str| Some(json!({"scope": "agent:reader", "reason": reason}));
    refused(&scene.admin("POST", "/api/v1/observations/stop", stop("")).await, 400, "reason is missing");
    ok(&scene.admin("POST", "/api/v1/observations/stop", stop("seen enough")).await, 200);
    refused(&scene.admin("POST", "/api/v1/observations/stop", stop("twice")).await, 404, "does not exist");
    let changes: Vec<_> = scene.world.events("observation_changed").await;
    let verbs: Vec<_> = changes.iter().map(|event| event.body["change"].clone()).collect();
    assert_eq!(verbs, ["started", "ended", "started", "stopped"].map(Into::into));
    // Nobody looked at the system's definitions for a long time.
    scene.world.clock.advance(7 * 24 * 3_600);
    let counts = ok(&scene.admin("GET", "/api/v1/connections?system=files", None).await, 200)["counts"].clone();
    assert_eq!(counts, json!({"enforced": 0, "observed": 0, "unknown": 3}));
    refused(&scene.admin("GET", "/api/v1/connections?agents=x", None).await, 400, "agents");
    refused(&scene.admin("GET", "/api/v1/connections?agent=nobody", None).await, 404, "agent `nobody`");
    refused(&scene.admin("GET", "/api/v1/connections?system=nope", None).await, 404, "system `nope`");
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let scene = Scene::new().await;
    let value = "tok-5f3a9c-never-shown";
    let put = async |path: &str, value: &str| scene.admin("PUT", path, Some(json!({"value": value}))).await;
    assert_eq!(put("/api/v1/secrets/files/api-key", value).await.status, 204);
    refused(&put("/api/v1/secrets/files/api-key", "").await, 400, "1 to");
    refused(&put("/api/v1/secrets/files/api-key", "two\nlines").await, 400, "one line");
    refused(&put("/api/v1/secrets/FILES/api-key", value).await, 400, "not a valid secret name");
    assert_eq!(ok(&scene.admin("GET", "/api/v1/secrets", None).await, 200)["secrets"], json!(["files/api-key"]));
    let everything = scene.admin("GET", "/api/v1/audit/export", None).await.text;
    assert!(everything.contains("secret_changed") && !everything.contains(value));
    assert_eq!(scene.admin("DELETE", "/api/v1/secrets/files/api-key", None).await.status, 204);
    refused(&scene.admin("DELETE", "/api/v1/secrets/files/api-key", None).await, 404, "does not exist");
    assert_eq!(scene.world.events("secret_changed").await.len(), 2);
}

#[tokio::test]
async fn evidence_is_read_opened_explained_and_exported() {
    let scene = Scene::new().await;
    let question = json!({"agent": "reader", "system": "files", "name": "write_file", "arguments": {"path": "/data/x", "content": "private words"}});
    let answer = ok(&scene.admin("POST", "/api/v1/check", Some(question)).await, 200);
    let id = answer["evaluation_id"].as_str().unwrap();
    let page =
        ok(&scene.admin("GET", "/api/v1/audit/entries?kind=evaluated&newest_first=true&limit=1", None).await, 200);
    assert_eq!(page["entries"][0]["entry"]["id"], id);
    assert!(!page.to_string().contains("private words"));
    let shown = ok(&scene.admin("GET", &format!("/api/v1/audit/entries/{id}"), None).await, 200);
    assert!(!shown.to_string().contains("private words"));
    assert!(scene.world.events("sealed_opened").await.is_empty());
    let opened = ok(&scene.admin("POST", &format!("/api/v1/audit/entries/{id}/open"), None).await, 200);
    assert!(opened["entries"][0]["opened"]["arguments"]["value"].as_str().unwrap().contains("private words"));
    let openings = scene.world.events("sealed_opened").await;
    assert_eq!((openings.len(), &openings[0].body["by"]), (1, &"operator:root".into()));
    let explained = ok(&scene.admin("POST", &format!("/api/v1/explain/{id}"), None).await, 200);
    assert_eq!(
        (explained["decision"].as_str(), explained["reproduced"].as_bool()),
        (Some("deny"), Some(true)),
        "{explained}"
    );
    assert_eq!(scene.world.events("sealed_opened").await.len(), 2, "explaining opens, too");
    assert_eq!(explained["examined"], explained["evaluated"]["examined"]);
    assert_eq!((&explained["bundle"], &explained["active_bundle"]), (&explained["evaluated"]["bundle"], &Value::Null));

    ok(&scene.admin("POST", "/api/v1/audit/checkpoint", None).await, 200);
    let note = ok(&scene.admin("GET", "/api/v1/audit/checkpoint", None).await, 200)["note"].clone();
    let export = scene.admin("GET", "/api/v1/audit/export", None).await;
    let lines: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["type"], &lines[0]["note"]), (&json!("checkpoint"), &note));
    let indexes: Vec<_> = lines.iter().skip(1).map(|line| line["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, (0..indexes.len() as u64).collect::<Vec<_>>(), "every entry, in order");
    let listed = ok(&scene.admin("GET", "/api/v1/audit/checkpoints", None).await, 200);
    assert_eq!(listed["checkpoints"].as_array().unwrap().last().unwrap()["size"], indexes.len());

    refused(&scene.admin("GET", "/api/v1/audit/entries/eval_nope", None).await, 404, "does not exist");
    refused(&scene.admin("GET", "/api/v1/audit/entries?kinds=denial", None).await, 400, "unknown field");
    refused(&scene.admin("GET", "/api/v1/audit/entries?limit=many", None).await, 400, "query_malformed");
    refused(&scene.admin("POST", "/api/v1/explain/evt_1", None).await, 400, "not a valid id");
}

#[tokio::test]
async fn status_tells_what_doctor_judges() {
    let scene = Scene::new().await;
    let status = ok(&scene.admin("GET", "/api/v1/status", None).await, 200);
    assert_eq!((status["agents"]["active"].as_u64(), status["agents"]["not_promoted"].as_u64()), (Some(3), Some(3)));
    assert_eq!((status["systems"][0]["fresh"].as_bool(), status["store_error"].is_null()), (Some(true), true));
    scene.world.clock.advance(3_600);
    let status = ok(&scene.admin("GET", "/api/v1/status", None).await, 200);
    assert_eq!(status["systems"][0]["fresh"], false);
    scene.world.clock.advance(85 * 86_400);
    let status = ok(&scene.admin("GET", "/api/v1/status", None).await, 200);
    assert_eq!(status["keys_expiring"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_bundle_outlives_the_key_that_signed_it() {
    use bailiwick_keys::token_keys::{PUBLISH_AHEAD_S, retired_for_s};
    use bailiwick_ports::{chance::Clock as _, signer::TokenSigner as _};
    let scene = Scene::new().await;
    let revision = ok(&scene.admin("GET", "/api/v1/policy", None).await, 200)["revision"].clone();
    let keys = &scene.world.token_keys;
    keys.begin_rotation(scene.world.clock.now()).unwrap();
    for seconds in [PUBLISH_AHEAD_S, retired_for_s()] {
        scene.world.clock.advance(seconds);
        keys.advance(scene.world.clock.now()).unwrap();
    }
    let again = scene.admin("POST", "/api/v1/policy/rollback", Some(json!({"revision": revision}))).await;
    assert_eq!(ok(&again, 200)["revision"], revision);
    // A key that was given up after a compromise vouches for nothing any more.
    let next = keys.prepare_replacement(scene.world.clock.now()).unwrap();
    keys.replace_all(&next.kid, scene.world.clock.now()).unwrap();
    let again = scene.admin("POST", "/api/v1/policy/rollback", Some(json!({"revision": revision}))).await;
    refused(&again, 409, "publish its files again");
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let scene = Scene::new().await;
    refused(&scene.admin("GET", "/api/v1/agnets", None).await, 404, "openapi.json");
    refused(&scene.admin("DELETE", "/api/v1/agents", None).await, 405, "does not take this method");
    let document = ok(&scene.admin("GET", "/api/v1/openapi.json", None).await, 200);
    assert_eq!(document["openapi"], "3.1.0");
    refused(&scene.admin("POST", "/api/v1/backup", Some(json!({"path": "relative"}))).await, 400, "absolute");
}
