//! AuthZEN 1.0: structure, decisions, tolerance, and what no caller can talk us into.

use bailiwick_engine::tokens::Audience;
use http::Request;
use serde_json::{Value, json};

use super::{Answer, Scene, send};

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

fn question(subject: &str, action: &str, kind: &str, id: &str) -> Value {
    json!({
        "subject": {"type": "agent", "id": subject},
        "action": {"name": action},
        "resource": {"type": kind, "id": id},
        "context": {"arguments": {"path": "/data/a.txt"}},
    })
}

fn writes() -> Value {
    let mut write = question("reader", "files.write_file", "tool", "files.write_file");
    write["context"]["arguments"]["content"] = json!("x");
    write
}

fn reads() -> Value {
    question("reader", "files.read_text_file", "tool", "files.read_text_file")
}

#[track_caller]
fn decided(answer: &Answer, decision: bool, code: Option<&str>) {
    let json = answer.json();
    assert_eq!((answer.status, json["decision"].as_bool()), (200, Some(decision)), "{}", answer.text);
    assert_eq!(json["context"]["reasons"][0]["code"].as_str(), code, "{}", answer.text);
    assert!(json["context"]["evaluation_id"].as_str().unwrap().starts_with("eval_"));
}

#[tokio::test]
async fn decisions_come_with_reasons_and_are_recorded() {
    let scene = Scene::new().await;
    let allowed = scene.asking("gate", EVALUATION, reads()).await;
    decided(&allowed, true, None);
    assert_eq!(allowed.headers["x-request-id"], "the-callers-own");
    assert_eq!(allowed.headers["dpop-nonce"], scene.world.nonce().as_str());
    assert_eq!(allowed.headers["cache-control"], "no-store");
    let denied = scene.asking("gate", EVALUATION, writes()).await;
    decided(&denied, false, Some("forbidden"));
    let events = scene.world.events("evaluated").await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].id, allowed.json()["context"]["evaluation_id"].as_str().unwrap());
    assert_eq!(events[1].body["by"], "agent:gate".into());
}

#[tokio::test]
async fn what_nobody_knows_is_a_denial_and_no_error() {
    let scene = Scene::new().await;
    let mut other_type = reads();
    other_type["subject"]["type"] = json!("user");
    let mut opaque_arguments = reads();
    opaque_arguments["context"]["arguments"] = json!("path=/data/a.txt");
    for body in [
        question("nobody", "files.read_text_file", "tool", "files.read_text_file"),
        question("NOT A NAME", "files.read_text_file", "tool", "files.read_text_file"),
        question("reader", "files.format_disk", "tool", "files.format_disk"),
        question("reader", "payroll.read", "tool", "payroll.read"),
        question("reader", "can_read", "record", "1"),
        question("reader", "", "", ""),
        other_type,
        opaque_arguments,
    ] {
        let answer = scene.asking("gate", EVALUATION, body.clone()).await;
        assert_eq!((answer.status, answer.json()["decision"].as_bool()), (200, Some(false)), "{body} {}", answer.text);
        assert!(answer.json()["context"]["reasons"][0]["code"].is_string());
    }
    assert_eq!(scene.world.events("evaluated").await.len(), 8, "each of them is recorded");
}

#[tokio::test]
async fn claims_of_the_caller_change_nothing_and_unknown_members_are_tolerated() {
    let scene = Scene::new().await;
    let mut write = writes();
    write["subject"]["properties"] = json!({"role": "admin", "promoted": true, "owner": "root"});
    write["action"]["properties"] = json!({"class": "read"});
    write["resource"]["properties"] = json!({"risk": "low"});
    write["context"]["approvals"] = json!(["everything"]);
    write["context"]["now"] = json!("1970-01-01T00:00:00Z");
    write["decision"] = json!(true);
    write["anything"] = json!({"at": "all"});
    decided(&scene.asking("gate", EVALUATION, write).await, false, Some("forbidden"));
}

#[tokio::test]
async fn a_decision_is_about_the_record_that_was_asked_about() {
    let scene = Scene::new().await;
    let asks = |kind: &str, id: &str| question("reader", "files.read_text_file", kind, id);
    decided(&scene.asking("gate", EVALUATION, asks("File", "/data/a.txt")).await, true, None);
    decided(&scene.asking("gate", EVALUATION, asks("Files::File", "/data/a.txt")).await, true, None);
    for (kind, id) in [("File", "/data/secret.txt"), ("Contact", "/data/a.txt"), ("Mail::File", "/data/a.txt")] {
        let answer = scene.asking("gate", EVALUATION, asks(kind, id)).await;
        assert_eq!(answer.json()["decision"], false, "{kind} {id}");
    }
    // Without arguments the record stands for the argument that names it.
    let mut bare = asks("File", "/data/a.txt");
    bare.as_object_mut().unwrap().remove("context");
    decided(&scene.asking("gate", EVALUATION, bare).await, true, None);
}

#[tokio::test]
async fn incomplete_questions_are_400s() {
    let scene = Scene::new().await;
    for missing in ["subject", "action", "resource"] {
        let mut body = reads();
        body.as_object_mut().unwrap().remove(missing);
        let answer = scene.asking("gate", EVALUATION, body).await;
        assert_eq!(answer.status, 400, "{missing}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(missing));
    }
    let mut body = reads();
    body["subject"] = json!({"type": "agent"});
    assert_eq!(scene.asking("gate", EVALUATION, body).await.status, 400);
    assert_eq!(scene.asking("gate", EVALUATION, json!([])).await.status, 400);
}

#[tokio::test]
async fn only_enforcement_points_with_a_fresh_proof_may_ask() {
    let scene = Scene::new().await;
    let message = Request::post(EVALUATION).header("host", "broker.test");
    let answer = send(&scene.network, message, Some(reads())).await;
    assert_eq!(answer.status, 401);
    let message = Request::post(EVALUATION).header("host", "evil.example");
    assert_eq!(send(&scene.network, message, Some(reads())).await.status, 421);

    // A token for a system is no token for decisions.
    let token = scene.world.token("reader", Audience::System("files".parse().unwrap()), true).await;
    let proof = scene.world.proof("reader", "POST", "https://broker.test/access/v1/evaluation", Some(&token));
    assert_eq!(scene.presenting(EVALUATION, &token, &proof, reads()).await.status, 401);

    // One proof, one question; also where the question names nothing.
    let token = scene.world.token("gate", Audience::Access, true).await;
    for body in [reads(), question("nobody", "x", "y", "z")] {
        let proof = scene.world.proof("gate", "POST", "https://broker.test/access/v1/evaluation", Some(&token));
        assert_eq!(scene.presenting(EVALUATION, &token, &proof, body.clone()).await.status, 200);
        let replayed = scene.presenting(EVALUATION, &token, &proof, body).await;
        assert_eq!((replayed.status, replayed.json()["code"].as_str()), (401, Some("replayed")));
    }
}

#[tokio::test]
async fn several_questions_share_defaults_and_stop_early_when_asked_to() {
    let scene = Scene::new().await;
    let write = json!({"action": {"name": "files.write_file"}, "resource": {"type": "tool", "id": "files.write_file"}});
    let batch = |semantic: &str, evaluations: Value| {
        let mut body = reads();
        body["evaluations"] = evaluations;
        body["options"] = json!({"evaluations_semantic": semantic});
        body
    };
    for (semantic, evaluations, expected) in [
        ("execute_all", json!([{}, write, {}]), vec![true, false, true]),
        ("deny_on_first_deny", json!([{}, write, {}]), vec![true, false]),
        ("permit_on_first_permit", json!([write, {}, write]), vec![false, true]),
    ] {
        let answer = scene.asking("gate", EVALUATIONS, batch(semantic, evaluations)).await;
        let json = answer.json();
        let decisions: Vec<_> =
            json["evaluations"].as_array().unwrap().iter().map(|one| one["decision"] == true).collect();
        assert_eq!(decisions, expected, "{semantic}: {}", answer.text);
        assert!(json.get("decision").is_none());
    }
    decided(&scene.asking("gate", EVALUATIONS, reads()).await, true, None);
    let many = batch("execute_all", json!(vec![json!({}); crate::authzen::message::EVALUATIONS_MAX + 1]));
    assert_eq!(scene.asking("gate", EVALUATIONS, many).await.status, 400);
    assert_eq!(scene.asking("gate", EVALUATIONS, batch("as_you_like", json!([{}]))).await.status, 400);
}

#[tokio::test]
async fn the_metadata_names_the_endpoints() {
    let scene = Scene::new().await;
    let message = Request::get("/.well-known/authzen-configuration").header("host", "broker.test");
    let json = send(&scene.network, message, None).await.json();
    let reasons = send(&scene.network, Request::get("/reasons").header("host", "broker.test"), None).await;
    assert!(reasons.text.contains("no_permit"), "what problems refer to is there");
    assert_eq!(json["policy_decision_point"], "https://broker.test");
    assert_eq!(json["access_evaluation_endpoint"], "https://broker.test/access/v1/evaluation");
}
