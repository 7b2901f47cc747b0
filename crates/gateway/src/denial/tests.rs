//! The same denial for model, program and person.

use std::collections::BTreeMap;

use bailiwick_model::{decision::Evaluated, digest::Digest, id::EvaluationId};

use super::*;

fn reason(code: ReasonCode, rule: Option<&str>, retry_after_s: Option<u64>) -> Reason {
    Reason {
        code,
        rule: rule.map(|rule| rule.parse().unwrap()),
        principal: None,
        message: "deleting contacts is not for agents".to_owned(),
        help: Some("ask the owner".to_owned()),
        retry_after_s,
    }
}

fn denied(decision: Decision, scopes: &[&str]) -> Denied {
    Denied {
        evaluated: Evaluated {
            id: EvaluationId::new(1_700_000_000_000, [7; 10]),
            bundle: Digest::from_bytes([0; 32]),
            decision,
            determining: Vec::new(),
            errors: BTreeMap::new(),
            budgets: Vec::new(),
            examined: Vec::new(),
            observed: None,
        },
        recorded: true,
        scopes_needed: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
        step_up: None,
    }
}

#[test]
fn a_denied_tool_call_is_a_result_that_the_model_can_act_on() {
    let denied = denied(Decision::deny(reason(ReasonCode::Forbidden, Some("no-delete"), None)), &[]);
    let Rendered::ToolResult(result) = render(&denied, "tools/call", true) else { panic!("no result") };
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    for part in ["deleting contacts", "reason forbidden", "rule no-delete", "ask the owner", "will not help", "eval_"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let object = &result["_meta"][DENIAL_META];
    assert_eq!(object["decision"], "deny");
    assert_eq!(object["reasons"][0]["code"], "forbidden");
    assert_eq!(object["reasons"][0]["rule"], "no-delete");
    assert_eq!(object["retryable"], false);
    assert_eq!(object["evaluation_id"], denied.id().to_string());
    assert_eq!(result["structuredContent"]["denial"], *object);
    // A tool with an output schema must not seem to have answered by it.
    let Rendered::ToolResult(result) = render(&denied, "tools/call", false) else { panic!("no result") };
    assert!(result.get("structuredContent").is_none());
}

#[test]
fn other_denials_take_the_form_that_their_caller_understands() {
    let of = |code| denied(Decision::deny(reason(code, None, None)), &["crm:delete", "crm:read"]);
    assert!(
        matches!(render(&of(ReasonCode::Forbidden), "resources/read", true), Rendered::RpcError(error) if error["code"] == DENIED_CODE)
    );
    assert!(
        matches!(render(&of(ReasonCode::UnknownTool), "tools/call", true), Rendered::RpcError(error) if error["code"] == -32_602)
    );
    assert!(matches!(render(&of(ReasonCode::Replayed), "tools/call", true), Rendered::Proof(_)));
    let Rendered::Scope { scopes, error } = render(&of(ReasonCode::InsufficientScope), "tools/call", true) else {
        panic!("no challenge")
    };
    assert_eq!(scopes, ["crm:delete", "crm:read"]);
    assert_eq!(error["data"][DENIAL_META]["reasons"][0]["code"], "insufficient_scope");
    // With another reason beside it, a new token would be asked for in vain.
    let both = vec![reason(ReasonCode::InsufficientScope, None, None), reason(ReasonCode::SafeMode, None, None)];
    let both = denied(Decision::Deny { reasons: both }, &["crm:delete"]);
    assert!(matches!(render(&both, "tools/call", true), Rendered::ToolResult(_)));
    assert_eq!(object(&both)["scopes_needed"], json!([]));
}

#[test]
fn a_weak_proof_of_a_user_is_challenged_and_nobody_s_is_told() {
    let wanted = StepUp { acr: ["phr".parse().unwrap()].into(), max_age_s: Some(300) };
    let lacking = |codes: &[ReasonCode], step_up: Option<&StepUp>| {
        let reasons = codes.iter().map(|code| reason(*code, None, None)).collect();
        Denied { step_up: step_up.cloned(), ..denied(Decision::Deny { reasons }, &["crm:read"]) }
    };
    let alone = render(&lacking(&[STEP_UP], Some(&wanted)), "tools/call", true);
    let Rendered::StepUp { wanted: told, scopes, error } = alone else { panic!("no challenge: {alone:?}") };
    assert_eq!((told, scopes.as_slice()), (wanted.clone(), &[][..]));
    assert_eq!(error["data"][DENIAL_META]["step_up"], json!({ "acr_values": ["phr"], "max_age": 300 }));
    let both = render(&lacking(&[STEP_UP, SCOPE], Some(&wanted)), "tools/call", true);
    assert!(matches!(both, Rendered::StepUp { scopes, .. } if scopes == ["crm:read"]));
    // Beside anything else, or where nobody can be asked, a new token would be asked for in vain.
    let more = render(&lacking(&[STEP_UP, ReasonCode::Forbidden], Some(&wanted)), "tools/call", true);
    assert!(matches!(more, Rendered::ToolResult(_)));
    assert!(matches!(render(&lacking(&[STEP_UP], None), "tools/call", true), Rendered::ToolResult(_)));
}

#[test]
fn gates_and_waits_are_named() {
    let gate = Gate {
        rule: "bulk".parse().unwrap(),
        approvers: vec!["group:data-owners".to_owned()],
        quorum: 2,
        step_up: Some("passkey".to_owned()),
        expires_s: 1_800,
    };
    let reasons = vec![reason(ReasonCode::ApprovalRequired, Some("bulk"), None)];
    let asked = denied(Decision::RequestableDenial { gates: vec![gate], reasons }, &[]);
    let shown = object(&asked);
    assert_eq!(shown["decision"], "approval_required");
    assert_eq!(shown["gates"][0]["approvers"][0], "group:data-owners");
    assert_eq!(shown["gates"][0]["quorum"], 2);
    assert!(text(&asked).contains("Approval required: rule bulk"));

    let limited = denied(Decision::deny(reason(ReasonCode::LimitReached, None, Some(90))), &[]);
    assert_eq!(object(&limited)["retry_after_s"], 90);
    assert!(text(&limited).contains("after 90 s"));
    // A wait that would not help is not named.
    let both = vec![reason(ReasonCode::LimitReached, None, Some(90)), reason(ReasonCode::Forbidden, None, None)];
    assert_eq!(object(&denied(Decision::Deny { reasons: both }, &[]))["retry_after_s"], Value::Null);
}
