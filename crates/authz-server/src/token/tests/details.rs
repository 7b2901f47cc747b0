//! `authorization_details` over the real router, for every grant: what is granted is told and holds, and nothing of it is
//! ever widened. Tasks that a client makes with its token.

use bailiwick_engine::{authorization, lifecycle, tasks};
use bailiwick_model::{decision::ReasonCode, limits::DETAIL_TOOLS_MAX};
use bailiwick_oauth::authorization_request::AuthorizationQuery;

use super::{
    code::{asked, scene as asking},
    exchange::{cast, resource_of, token},
    *,
};

const READ: &str = r#"[{"type":"bailiwick_tool","locations":["https://broker.test/mcp/files"],
    "actions":["files.read_text_file"],"arguments":{"path":{"under":"/data"}}}]"#;
const READ_LESS: &str = r#"[{"type":"bailiwick_tool","actions":["files.read_text_file"],
    "arguments":{"path":{"one_of":["/data/a","/data/b"]}}}]"#;
const READ_ALL: &str = r#"[{"type":"bailiwick_tool","actions":["files.read_text_file"]}]"#;
const READ_ELSEWHERE: &str =
    r#"[{"type":"bailiwick_tool","actions":["files.read_text_file"],"arguments":{"path":{"under":"/"}}}]"#;

fn detailed(mut form: Vec<(&'static str, String)>, details: &str) -> Vec<(&'static str, String)> {
    form.push(("authorization_details", details.to_owned()));
    form
}

fn told(answer: &Answer) -> &Value {
    &answer.json["authorization_details"]
}

#[tokio::test]
async fn a_token_holds_for_the_tools_and_arguments_that_were_asked_for() {
    let scene = Scene::new().await;
    let answer = scene.ask(&detailed(scene.form("reader"), READ), Some(scene.proof("reader"))).await;
    let one = token(&answer);
    let asked_for: Value = serde_json::from_str(READ).unwrap();
    assert_eq!((told(&answer), &part(&one, 1)["authorization_details"]), (&asked_for, &asked_for));
    assert_eq!(answer.json["scope"], "files.read_text_file", "who names tools alone gets no class of them");
    assert_eq!(scene.call("reader", &one, "read_text_file", "/data/a").await, Ok(()));
    assert_eq!(scene.call("reader", &one, "read_text_file", "/etc/a").await, Err(ReasonCode::DetailPin));
    let open = token(&scene.honest("reader").await);
    assert!(part(&open, 1).get("authorization_details").is_none());
    assert_eq!(scene.call("reader", &open, "read_text_file", "/etc/a").await, Ok(()));
    let issued = scene.world.events("token_issued").await;
    assert!(issued[0].body.contains_key("details") && !issued[1].body.contains_key("details"));
    let whole = issued.iter().map(|event| event.commitments.contains_key("details_whole"));
    assert_eq!(whole.collect::<Vec<_>>(), [true, false], "the arguments are sealed beside it");
}

/// What is said twice is granted once, and what is said in any order is read.
#[tokio::test]
async fn a_token_that_is_issued_can_be_read() {
    let scene = Scene::new().await;
    let detail = |action: &str| {
        format!(r#"{{"type":"bailiwick_tool","actions":["files.{action}"],"arguments":{{"path":{{"eq":"/data/a"}}}}}}"#)
    };
    for (said, times) in [
        (["read_text_file", "read_text_file"], 1),
        (["write_file", "read_text_file"], 2),
        (["read_text_file", "write_file"], 1),
    ] {
        let details = format!("[{}]", said.map(detail).join(","));
        let answer = scene.ask(&detailed(scene.form("reader"), &details), Some(scene.proof("reader"))).await;
        assert_eq!(told(&answer).as_array().unwrap().len(), times, "{said:?}");
        assert_eq!(scene.call("reader", &token(&answer), "read_text_file", "/data/a").await, Ok(()), "{said:?}");
    }
}

/// Each of many tools would hold a copy of many arguments.
#[tokio::test]
async fn few_bytes_of_details_do_not_become_many() {
    let scene = Scene::new().await;
    let actions: Vec<String> = (0..DETAIL_TOOLS_MAX).map(|number| format!("\"files.t{number}\"")).collect();
    let arguments: Vec<String> = (0..100).map(|number| format!("\"a{number}\":{{\"eq\":0}}")).collect();
    let details = format!(
        r#"[{{"type":"bailiwick_tool","actions":[{}],"arguments":{{{}}}}}]"#,
        actions.join(","),
        arguments.join(",")
    );
    let answer = scene.ask(&detailed(scene.form("reader"), &details), Some(scene.proof("reader"))).await;
    refused(&answer, 400, "invalid_authorization_details");
    let why = answer.json["error_description"].as_str().unwrap();
    assert!(why.starts_with("so many tools"), "refused before they were held: {why}");
}

#[tokio::test]
async fn what_cannot_be_granted_is_refused_as_such() {
    let mut scene = Scene::new().await;
    let tool = |rest: &str| format!(r#"[{{"type":"bailiwick_tool",{rest}}}]"#);
    let many: Vec<String> = (0..=DETAIL_TOOLS_MAX).map(|number| format!("\"files.t{number}\"")).collect();
    let cases = [
        "x".to_owned(),
        "[]".to_owned(),
        r#"[{"type":"payment_initiation","actions":["files.read_text_file"]}]"#.to_owned(),
        tool(r#""actions":["files.read_text_file"],"privileges":["admin"]"#),
        tool(r#""actions":["files.no_such_tool"]"#),
        tool(r#""actions":["crm.read"]"#),
        tool(r#""actions":["files.read_text_file"],"arguments":{"pth":{"eq":"/data"}}"#),
        tool(r#""actions":["files.read_text_file"],"arguments":{"path":{"under":"/\u0000"}}"#),
        tool(r#""actions":["files.read_text_file"],"arguments":{"path":{"eq":[[[]]]}}"#),
        tool(r#""actions":["files.read_text_file"],"locations":["https://broker.test/mcp"]"#),
        tool(r#""actions":["files.read_text_file"],"locations":["https://broker.test/mcp/crm"]"#),
        tool(r#""actions":["files.read_text_file"],"locations":["https://evil.test/mcp/files"]"#),
        tool(&format!("\"actions\":[{}]", many.join(","))),
        r#"[{"type":"bailiwick_task","purpose":"x"}]"#.to_owned(),
        r#"[{"type":"bailiwick_task","purpose":"x","expires_in":6048000},
            {"type":"bailiwick_tool","actions":["files.read_text_file"]}]"#
            .to_owned(),
    ];
    for details in cases {
        scene.router = endpoint(&scene.world);
        let answer = scene.ask(&detailed(scene.form("reader"), &details), Some(scene.proof("reader"))).await;
        refused(&answer, 400, "invalid_authorization_details");
    }
    scene.router = endpoint(&scene.world);
    let gate = with(scene.form("gate"), "resource", "https://broker.test/access/v1");
    let answer = scene.ask(&detailed(gate, READ_ALL), Some(scene.proof("gate"))).await;
    refused(&answer, 400, "invalid_authorization_details");
    assert!(scene.world.events("token_issued").await.is_empty());
    assert!(scene.world.broker.live().tasks.is_empty());
}

#[tokio::test]
async fn a_user_consents_to_details_and_no_later_token_goes_past_them() {
    let scene = asking().await;
    let pairs = || detailed(asked("reader"), READ);
    let code = scene.code(&pairs()).await;
    let answer = scene.redeem("reader", &code).await;
    let one = token(&answer);
    assert_eq!(told(&answer), &serde_json::from_str::<Value>(READ).unwrap());
    assert_eq!(part(&one, 1)["authorization_details"], *told(&answer));

    // What a standing consent does not cover is asked for anew; what it covers is not.
    let again = scene.redeem("reader", &scene.code(&detailed(asked("reader"), READ_LESS)).await).await;
    assert_eq!(again.status, 200);
    let ada = scene.visitor("ada");
    for wider in [detailed(asked("reader"), READ_ALL), asked("reader")] {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&wider).finish();
        let AuthorizationQuery::Plain(addressee) = AuthorizationQuery::parse(query.as_bytes()).unwrap() else {
            panic!()
        };
        let request = addressee.read().unwrap();
        let next = authorization::arrive(&scene.world.broker, request, authorization::Came::Plain, Some(&ada)).await;
        assert!(matches!(next.unwrap(), authorization::Next::Ask(_)), "{wider:?}");
    }

    // A redemption narrows and never widens.
    let code = scene.code(&pairs()).await;
    let wider = detailed(scene.redemption("reader", &code), READ_ELSEWHERE);
    refused(&scene.ask(&wider, Some(scene.proof("reader"))).await, 400, "invalid_authorization_details");
    let code = scene.code(&pairs()).await;
    let less = scene.ask(&detailed(scene.redemption("reader", &code), READ_LESS), Some(scene.proof("reader"))).await;
    assert_eq!(told(&less)[0]["arguments"]["path"], json!({"one_of": ["/data/a", "/data/b"]}));

    let pushed = scene.push("reader", &detailed(asked("reader"), READ), None).await;
    assert_eq!(pushed.status, 201, "{:?}", pushed.json);
    let unfit = r#"[{"type":"bailiwick_tool","actions":["files.no_such_tool"]}]"#;
    let pushed = scene.push("reader", &detailed(asked("reader"), unfit), None).await;
    refused(&pushed, 400, "invalid_authorization_details");
}

#[tokio::test]
async fn details_never_widen_while_scopes_shrink() {
    let scene = asking().await;
    let wide = with(asked("reader"), "scope", "files:read files.write_file");
    let mut refresh = token_of(&scene.redeem("reader", &scene.code(&detailed(wide, READ)).await).await);
    for (scope, details, expected) in [
        (Some("files:read"), Some(READ_ALL), Err(())),
        (Some("files:read"), Some(READ_ELSEWHERE), Err(())),
        (None, Some(r#"[{"type":"bailiwick_tool","actions":["files.write_file"]}]"#), Err(())),
        (Some("files:read"), None, Ok(())),
        (Some("files:read"), Some(READ_LESS), Ok(())),
        (None, Some(READ), Ok(())),
    ] {
        let mut form = with(scene.form("reader"), "grant_type", "refresh_token");
        form.push(("refresh_token", refresh.clone()));
        form.extend(scope.map(|scope| ("scope", scope.to_owned())));
        form.extend(details.map(|details| ("authorization_details", details.to_owned())));
        let answer = scene.ask(&form, Some(scene.proof("reader"))).await;
        match expected {
            Err(()) => refused(&answer, 400, "invalid_authorization_details"),
            Ok(()) => {
                assert!(told(&answer).is_array(), "what was granted stays narrowed: {:?}", answer.json);
                refresh = token_of(&answer);
            }
        }
    }
}

fn token_of(answer: &Answer) -> String {
    token(answer);
    answer.json["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_hop_has_no_more_details_than_the_one_before() {
    let scene = cast().await;
    let write = |under: &str| {
        format!(
            r#"[{{"type":"bailiwick_tool","actions":["files.write_file"],"arguments":{{"path":{{"under":"{under}"}}}}}}]"#
        )
    };
    let form = detailed(with(scene.form("support"), "resource", &resource_of("writer")), &write("/data"));
    let handed = scene.ask(&form, Some(scene.proof("support"))).await;
    let subject = token(&handed);
    assert_eq!(handed.json["scope"], "files.write_file");
    let wider = detailed(scene.exchange_form("writer", &subject), &write("/"));
    refused(&scene.ask(&wider, Some(scene.proof("writer"))).await, 400, "invalid_authorization_details");
    let acting = scene.exchange("writer", &subject).await;
    let acting = token(&acting);
    assert_eq!(scene.call("writer", &acting, "write_file", "/data/a").await, Ok(()));
    assert_eq!(scene.call("writer", &acting, "write_file", "/etc/a").await, Err(ReasonCode::DetailPin));

    let mut on = with(scene.exchange_form("writer", &acting), "resource", &resource_of("proof"));
    on.push(("scope", "files.write_file".to_owned()));
    refused(
        &scene.ask(&detailed(on.clone(), &write("/")), Some(scene.proof("writer"))).await,
        400,
        "invalid_authorization_details",
    );
    let mut on = with(on, "client_assertion", &scene.world.assertion("writer"));
    on.push(("authorization_details", write("/data/deep")));
    let last = scene.exchange("proof", &token(&scene.ask(&on, Some(scene.proof("writer"))).await)).await;
    let last = token(&last);
    assert_eq!(scene.call("proof", &last, "write_file", "/data/deep/a").await, Ok(()));
    assert_eq!(scene.call("proof", &last, "write_file", "/data/a").await, Err(ReasonCode::DetailPin));
}

const WITH_TASK: &str = r#"[{"type":"bailiwick_task","purpose":"read one file","expires_in":120},
    {"type":"bailiwick_tool","actions":["files.read_text_file"],"arguments":{"path":{"eq":"/data/a"}}}]"#;

#[tokio::test]
async fn fifty_tasks_leave_nothing_behind() {
    let scene = Scene::new().await;
    let broker = &scene.world.broker;
    let standing = || {
        let live = broker.live();
        let agent = live.agents.values().find(|agent| agent.name.as_str() == "reader").cloned().unwrap();
        (live.grants.size(), live.tasks.size(), agent.scopes.clone(), agent.systems.clone(), agent.version)
    };
    let before = standing();
    for round in 0..50 {
        let answer = scene.ask(&detailed(scene.form("reader"), WITH_TASK), Some(scene.proof("reader"))).await;
        let one = token(&answer);
        assert_eq!(answer.json["expires_in"], 120, "the token ends with its task");
        let task = told(&answer)[1]["identifier"].as_str().unwrap().to_owned();
        assert_eq!(
            (told(&answer)[1]["type"].as_str(), part(&one, 1)["bailiwick_task"].as_str()),
            (Some("bailiwick_task"), Some(&*task))
        );
        assert_eq!(scene.call("reader", &one, "read_text_file", "/data/a").await, Ok(()));
        assert_eq!(scene.call("reader", &one, "read_text_file", "/data/b").await, Err(ReasonCode::TaskPin));
        if round % 2 == 0 {
            tasks::end(broker, &operator(), task.parse().unwrap(), "done").await.unwrap();
            assert_eq!(scene.call("reader", &one, "read_text_file", "/data/a").await, Err(ReasonCode::TaskEnded));
        } else {
            scene.world.clock.advance(121);
            assert_eq!(scene.verified("reader", &one).await.err(), Some(401), "it ended by itself");
        }
        scene.world.verify_definitions().await;
    }
    // Those that ended by themselves leave memory with what time brings.
    lifecycle::advance(broker).await.unwrap();
    assert_eq!(standing(), before);
    let last = token(&scene.honest("reader").await);
    assert_eq!(part(&last, 1)["scope"], "files:read", "and the agent has what it had");
}

#[tokio::test]
async fn a_task_of_ones_own_is_none_that_a_rule_asks_for() {
    let scene = Scene::new().await;
    let broker = &scene.world.broker;
    let own = token(&scene.ask(&detailed(scene.form("reader"), WITH_TASK), Some(scene.proof("reader"))).await);
    assert_eq!(scene.call("reader", &own, "read_text_file", "/data/a").await, Ok(()));
    let rule = "@id(\"tasks-only\")\nforbid (principal, action, resource) when { context.task.implicit };";
    let mut files: std::collections::BTreeMap<_, _> =
        bundle::files().iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    files.insert("policies/organisation/tasks.cedar".to_owned(), rule.as_bytes().to_vec());
    scene.world.publish(bailiwick_model::bundle::BundleFiles::new(files).unwrap()).await;
    assert_eq!(scene.call("reader", &own, "read_text_file", "/data/a").await, Err(ReasonCode::Forbidden));
    let ask = tasks::TaskAsk {
        agent: "reader".parse().unwrap(),
        purpose: "test".to_owned(),
        prompt: None,
        work: tasks::Work::Tools(vec![bailiwick_model::task::ToolGrant {
            action: "files.read_text_file".parse().unwrap(),
            pins: Default::default(),
        }]),
        lifetime_s: None,
    };
    let task = tasks::create(broker, &operator(), ask).await.unwrap();
    let given = with(scene.form("reader"), "bailiwick_task", &task.id.to_string());
    let given = token(&scene.ask(&given, Some(scene.proof("reader"))).await);
    assert_eq!(scene.call("reader", &given, "read_text_file", "/data/a").await, Ok(()));
}

#[tokio::test]
async fn a_replayed_request_makes_no_task() {
    let scene = Scene::new().await;
    let form = detailed(scene.form("reader"), WITH_TASK);
    token(&scene.ask(&form, Some(scene.proof("reader"))).await);
    refused(&scene.ask(&form, Some(scene.proof("reader"))).await, 401, "invalid_client");
    assert_eq!(scene.world.broker.live().tasks.size(), 1);
}
