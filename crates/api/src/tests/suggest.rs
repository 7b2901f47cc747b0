//! A suggestion from marked calls: what it is made of, and that it holds once it is published.

use std::collections::BTreeMap;

use bailiwick_engine::{
    agents,
    authorize::authorize,
    bundles,
    caller::{Caller, RawCall},
};
use bailiwick_model::{
    bundle::BundleFiles,
    id::{EvaluationId, TokenId},
    principal::{DelegationChain, Principal},
};
use bailiwick_pdp::suggest::CALLS_MAX;
use bailiwick_testkit_engine::{
    bundle,
    world::{World, operator},
};
use serde_json::{Value, json};

use super::Scene;

/// Whether a call is allowed, and the id of its decision.
async fn call(world: &World, tool: &str, arguments: Value) -> (bool, String) {
    let caller = Caller {
        chain: DelegationChain::of(Principal::Agent("reader".parse().unwrap())),
        token: TokenId::from_bytes([1; 16]),
        grant: None,
        scopes: ["files:read", "files:write"].map(|scope| scope.parse().unwrap()).into(),
        details: None,
        audience: String::new(),
        task: None,
        confirmation: None,
        address: None,
        spent: Vec::new(),
    };
    let arguments = arguments.as_object().unwrap().clone();
    let system = bundle::system();
    let call = RawCall {
        system: &system,
        method: "tools/call",
        name: Some(tool),
        arguments: &arguments,
        declared: None,
        client_call: None,
    };
    match authorize(&world.broker, &caller, call).await {
        Ok(permit) => (true, permit.evaluated().id.to_string()),
        Err(denied) => (false, denied.evaluated.id.to_string()),
    }
}

async fn read(world: &World, path: &str) -> (bool, String) {
    call(world, "read_text_file", json!({ "path": path })).await
}

async fn write(world: &World, content: &str) -> (bool, String) {
    call(world, "write_file", json!({"path": "/data/a.txt", "content": content})).await
}

/// A world in which two files were read rightly and one wrongly, and a write was denied.
async fn scene() -> (Scene, String, String) {
    let scene = Scene::new().await;
    agents::promote(&scene.world.broker, &operator(), &"reader".parse().unwrap(), "tests").await.unwrap();
    for path in ["/data/a.txt", "/data/b.txt"] {
        assert!(read(&scene.world, path).await.0);
    }
    let (allowed, odd) = read(&scene.world, "/data/keys.txt").await;
    let (written, denied) = write(&scene.world, "x").await;
    assert!(allowed && !written);
    (scene, odd, denied)
}

async fn suggested(scene: &Scene, ask: Value) -> Value {
    let answer = scene.admin("POST", "/api/v1/policy/suggest", Some(ask)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn what_is_not_marked_counts_as_policy_decided_it() {
    let (scene, ..) = scene().await;
    let answer = suggested(&scene, json!({"agent": "reader"})).await;
    assert_eq!((&answer["replayed_good"], &answer["replayed_bad"]), (&json!(3), &json!(0)));
    let [line] = answer["lines"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert_eq!((&line["action"], &line["widens"]), (&json!("files.read_text_file"), &json!(false)));
    assert_eq!(scene.world.events("sealed_opened").await.len(), 1);
}

#[tokio::test]
async fn what_was_marked_holds_once_the_suggestion_is_published() {
    let (scene, odd, denied) = scene().await;
    let answer = suggested(&scene, json!({"role": "reader", "good": [denied], "bad": [odd]})).await;
    assert_eq!((&answer["replayed_good"], &answer["replayed_bad"]), (&json!(3), &json!(1)));
    let lines = answer["lines"].as_array().unwrap().iter();
    let widened: BTreeMap<&str, bool> =
        lines.map(|line| (line["action"].as_str().unwrap(), line["widens"].as_bool().unwrap())).collect();
    assert_eq!(widened, BTreeMap::from([("files.read_text_file", false), ("files.write_file", true)]));

    let mut files: BTreeMap<String, Vec<u8>> =
        bundle::files().iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    for (path, change) in answer["files"].as_object().unwrap() {
        files.insert(path.clone(), change["after"].as_str().unwrap().as_bytes().to_vec());
    }
    let files = BundleFiles::new(files).unwrap();
    assert!(bundles::publish(&scene.world.broker, &operator(), files, true).await.is_ok());
    scene.world.verify_definitions().await;
    let world = &scene.world;
    assert!(read(world, "/data/a.txt").await.0 && read(world, "/data/b.txt").await.0);
    assert!(!read(world, "/data/keys.txt").await.0, "it was marked bad");
    assert!(!read(world, "/data/c.txt").await.0, "nobody read it");
    assert!(write(world, "x").await.0, "it was marked good");
    assert!(!write(world, "y").await.0, "only these arguments were");
}

#[tokio::test]
async fn what_was_taken_away_since_comes_back_by_a_mark_only() {
    let (scene, odd, denied) = scene().await;
    let mut files: BTreeMap<String, Vec<u8>> =
        bundle::files().iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    let narrower = "purpose = \"Write files\"\nallow = [\"files:write\"]\n";
    files.insert("roles/reader.toml".to_owned(), narrower.as_bytes().to_vec());
    let files = BundleFiles::new(files).unwrap();
    assert!(bundles::publish(&scene.world.broker, &operator(), files, true).await.is_ok());
    scene.world.verify_definitions().await;
    assert!(write(&scene.world, "y").await.0);
    let answer = suggested(&scene, json!({"role": "reader"})).await;
    let lines = |answer: &Value| {
        let lines = answer["lines"].as_array().unwrap().clone();
        let line = |line: &Value| (line["action"].as_str().unwrap().to_owned(), line["widens"] == true);
        lines.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(lines(&answer), [("files.write_file".to_owned(), false)]);
    assert_eq!(answer["beyond"].as_array().unwrap().len(), 3, "{answer}");
    let answer = suggested(&scene, json!({"role": "reader", "good": [odd, denied]})).await;
    assert_eq!(
        lines(&answer),
        [("files.read_text_file".to_owned(), true), ("files.write_file".to_owned(), false)],
        "{answer}"
    );
    assert_eq!(answer["beyond"].as_array().unwrap().len(), 2, "{answer}");
}

#[tokio::test]
async fn what_cannot_be_suggested_from_is_refused_with_the_reason() {
    let (scene, odd, denied) = scene().await;
    let refused = async |ask: Value, status: u16, words: &str| {
        let answer = scene.admin("POST", "/api/v1/policy/suggest", Some(ask)).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.text.contains(words), "`{words}` is not in {}", answer.text);
    };
    refused(json!({"role": "reader", "system": "nope"}), 404, "system `nope`").await;
    refused(json!({"agent": "nobody"}), 404, "agent `nobody`").await;
    refused(json!({"role": "nobody"}), 400, "role `nobody`").await;
    refused(json!({"role": "reader", "good": [odd.clone()], "bad": [odd.clone()]}), 400, "as good and as bad").await;
    refused(json!({"role": "reader", "until": "2000-01-01T00:00:00Z"}), 400, "no good call").await;
    refused(json!({"role": "reader", "until": "2000-01-01T00:00:00Z", "good": [denied]}), 400, "in this span").await;
    refused(json!({"role": "reader", "since": "2100-01-01T00:00:00Z", "good": [denied]}), 400, "in this span").await;
    let nobodys = |n: usize| EvaluationId::new(n as u64, [0; 10]).to_string();
    refused(json!({"role": "reader", "bad": [nobodys(1)]}), 400, "in this span").await;
    let many: Vec<String> = (0..=CALLS_MAX).map(nobodys).collect();
    refused(json!({"role": "reader", "bad": many}), 400, "more calls").await;
}
