//! What is read means one thing, what is written is read back, and everything else is refused as such.

use super::*;

const ISSUER: &str = "https://b.example";

fn refused(text: &str) {
    let error = AuthorizationDetails::parse(text).expect_err(text);
    assert_eq!(error.code, ErrorCode::InvalidAuthorizationDetails, "{text}");
}

fn tool(rest: &str) -> String {
    format!(r#"[{{"type":"bailiwick_tool",{rest}}}]"#)
}

#[test]
fn tools_with_their_arguments_are_read_and_written_back() {
    let text = r#"[
        {"type":"bailiwick_tool","locations":["https://b.example/mcp/crm"],"actions":["crm.merge","crm.read_contact"],
         "arguments":{"id":{"eq":"42"},"limit":{"at_most":10}}},
        {"type":"bailiwick_tool","locations":["https://b.example/mcp/files"],"actions":["files.read"],
         "arguments":{"kind":{"one_of":["a",1]},"path":{"under":"/data"}}},
        {"type":"bailiwick_tool","locations":["https://b.example/mcp/files"],"actions":["files.list"]}]"#;
    let details = AuthorizationDetails::parse(text).unwrap();
    assert_eq!((details.tools.len(), &details.task), (3, &None));
    let grants: Vec<ToolGrant> = details.tools.iter().flat_map(ToolDetail::grants).collect();
    assert_eq!(grants.len(), 4);
    assert_eq!(grants[0].pins["id"], Pin::OneOf(vec![json!("42")]));
    assert_eq!(grants[1].pins["limit"], Pin::AtMost(10));
    let written = to_value(ISSUER, &grants);
    assert_eq!(written, serde_json::from_str::<Value>(text).unwrap(), "what was asked for is what is told");
    assert_eq!(from_value(&written), Some(grants));
}

#[test]
fn a_task_is_read() {
    let text = r#"[{"type":"bailiwick_task","purpose":"answer ticket 42","expires_in":600},
        {"type":"bailiwick_tool","actions":["crm.read"]}]"#;
    let details = AuthorizationDetails::parse(text).unwrap();
    assert_eq!(details.task, Some(TaskDetail { purpose: "answer ticket 42".into(), expires_in_s: Some(600) }));
    assert!(details.without_task().is_err());
}

#[test]
fn what_is_not_of_the_schema_is_refused() {
    for text in [
        "",
        "{}",
        "[]",
        "[1]",
        "[{}]",
        r#"[{"type":"payment_initiation","actions":["crm.read"]}]"#,
        r#"[{"type":["bailiwick_tool"],"actions":["crm.read"]}]"#,
        r#"[{"type":"bailiwick_tool","type":"bailiwick_tool","actions":["crm.read"]}]"#,
        r#"[{"type":"bailiwick_task"}]"#,
        r#"[{"type":"bailiwick_task","purpose":""}]"#,
        r#"[{"type":"bailiwick_task","purpose":"x","expires_in":0}]"#,
        r#"[{"type":"bailiwick_task","purpose":"x","expires_in":"600"}]"#,
        r#"[{"type":"bailiwick_task","purpose":"x","tools":[]}]"#,
        r#"[{"type":"bailiwick_task","purpose":"x"},{"type":"bailiwick_task","purpose":"y"}]"#,
    ] {
        refused(text);
    }
    for rest in [
        r#""actions":[]"#,
        r#""actions":"crm.read""#,
        r#""actions":[1]"#,
        r#""actions":["crm.read","crm.read"]"#,
        r#""actions":["crm"]"#,
        r#""locations":["https://b.example/mcp/crm"]"#,
        r#""actions":["crm.read"],"locations":[]"#,
        r#""actions":["crm.read"],"locations":[null]"#,
        r#""actions":["crm.read"],"privileges":["admin"]"#,
        r#""actions":["crm.read"],"identifier":"42""#,
        r#""actions":["crm.read"],"arguments":[]"#,
        r#""actions":["crm.read"],"arguments":{"id":"42"}"#,
        r#""actions":["crm.read"],"arguments":{"id":{}}"#,
        r#""actions":["crm.read"],"arguments":{"":{"eq":1}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"eq":1,"one_of":[2]}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"matches":".*"}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"one_of":[]}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"eq":{"a":1}}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"eq":[[1]]}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"eq":[{}]}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"one_of":[1,[["x"]]]}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"one_of":[{}]}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"at_most":1.5}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"at_most":18446744073709551615}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"under":"data"}}"#,
        r#""actions":["crm.read"],"arguments":{"id":{"eq":1},"id":{"eq":2}}"#,
    ] {
        refused(&tool(rest));
    }
    for flat in [r#"{"eq":null}"#, r#"{"eq":["a",1,true,null]}"#, r#"{"one_of":[["a"],"b",[]]}"#] {
        let text = tool(&format!(r#""actions":["crm.read"],"arguments":{{"id":{flat}}}"#));
        assert!(AuthorizationDetails::parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn a_hundred_details_are_refused_and_so_is_a_long_one() {
    let actions = |count: usize| {
        let actions: Vec<String> = (0..count).map(|number| format!("\"crm.t{number}\"")).collect();
        tool(&format!("\"actions\":[{}]", actions.join(",")))
    };
    assert!(AuthorizationDetails::parse(&actions(DETAIL_TOOLS_MAX)).is_ok());
    refused(&actions(DETAIL_TOOLS_MAX + 1));
    let one = r#"{"type":"bailiwick_tool","actions":["crm.t"]}"#;
    refused(&format!("[{}]", vec![one; 100].join(",")));
    let padded = |bytes: usize| {
        let text = tool(r#""actions":["crm.t"]"#);
        format!("{text}{}", " ".repeat(bytes - text.len()))
    };
    assert!(AuthorizationDetails::parse(&padded(DETAILS_BYTES_MAX)).is_ok());
    refused(&padded(DETAILS_BYTES_MAX + 1));
    refused(&tool(&format!(
        r#""actions":["crm.read"],"arguments":{{"id":{{"eq":{}1{}}}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    )));
}

/// What is merged is merged only where it is read as the same tools in the same order.
#[test]
fn details_in_any_order_and_twice_are_read_as_they_were_written() {
    let grant = |action: &str| ToolGrant { action: action.parse().unwrap(), pins: BTreeMap::new() };
    for actions in [&["crm.read", "crm.read"][..], &["crm.read", "crm.merge"], &["crm.b", "crm.a", "crm.b", "files.a"]]
    {
        let grants: Vec<_> = actions.iter().copied().map(grant).collect();
        assert_eq!(from_value(&to_value(ISSUER, &grants)).as_ref(), Some(&grants), "{actions:?}");
    }
}

#[test]
fn a_claim_that_we_would_not_write_is_not_read() {
    for value in
        [json!({}), json!([1]), json!([{"type": "bailiwick_task", "purpose": "x"}]), json!([{"actions": ["a.b"]}])]
    {
        assert_eq!(from_value(&value), None, "{value}");
    }
}
