//! Expressions evaluate as the binding says, and whatever could grow ends.

use serde_json::json;

use super::*;
use crate::coaz::mapping::MAPPING_VALUES_MAX;

fn inputs() -> Inputs {
    let params = json!({
        "name": "transfer", "_meta": null,
        "arguments": {"id": "cust-1", "amount": 20_000, "rate": 1.5, "customer-id": "c", "list": ["a", "b"]},
    });
    let token = json!({"sub": "alice", "aud": "https://broker.test/mcp/crm", "roles": ["treasury"]});
    Inputs::new(&params, &token).unwrap()
}

#[track_caller]
fn check(text: &str, expected: Result<Option<Value>, Failed>) {
    let expression = Expression::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(expression.evaluate(&inputs()), expected, "{text}");
}

#[test]
fn the_examples_of_the_binding_evaluate() {
    check("token.sub", Ok(Some(json!("alice"))));
    check("params.arguments.id", Ok(Some(json!("cust-1"))));
    check("params.arguments[\"customer-id\"]", Ok(Some(json!("c"))));
    check("params.arguments.amount > 10000 ? 'high' : 'standard'", Ok(Some(json!("high"))));
    check(
        "token.roles.exists(r, r == 'treasury') ? 'treasury_user' : 'standard_user'",
        Ok(Some(json!("treasury_user"))),
    );
    check("params.arguments.list.map(x, x + '!')", Ok(Some(json!(["a!", "b!"]))));
    check("{'kind': 'x', 'n': params.arguments.rate}", Ok(Some(json!({"kind": "x", "n": 1.5}))));
    check("token.?client_id", Ok(None));
    check("token.?sub", Ok(Some(json!("alice"))));
    check("params._meta", Ok(Some(Value::Null)));
}

#[test]
fn what_is_missing_or_of_another_type_fails() {
    for text in [
        "token.client_id",
        "params.arguments.region",
        "params.arguments.amount + 'x'",
        "params.arguments.id.nothing",
        "1 / (params.arguments.amount - 20000)",
        "9223372036854775807 + params.arguments.amount",
        "b'bytes'",
        "type(1)",
        "bytes('a')",
    ] {
        let evaluated = Expression::compile(text).ok().map(|expression| expression.evaluate(&inputs()));
        assert!(matches!(evaluated, None | Some(Err(Failed))), "{text}: {evaluated:?}");
    }
}

#[test]
fn what_could_grow_is_refused_before_it_runs() {
    let long = format!("'{}'", "x".repeat(EXPRESSION_BYTES_MAX));
    let deep = format!("{}1{}", "(".repeat(EXPRESSION_DEPTH_MAX + 1), ")".repeat(EXPRESSION_DEPTH_MAX + 1));
    let wide = vec!["1"; EXPRESSION_NODES_MAX + 1].join("+");
    for text in [
        long.as_str(),
        &deep,
        &wide,
        "",
        "token.",
        "other.sub",
        "secret",
        "params.a.map(x, params.b.map(y, x + y))",
        "params.a.map(x, x + x).map(x, x + x)",
        "params.a.exists(x, x == 1) && params.b.exists(x, x == 2)",
        "x && params.a.exists(x, x)",
        "google.protobuf.Empty{}",
        "params.name.matches('(a+)+$')",
        "timestamp('2026-01-01T00:00:00Z')",
        "params.name.split(',')",
        "now()",
    ] {
        assert!(Expression::compile(text).is_err(), "{text}");
    }
    let full = vec!["1"; EXPRESSION_DEPTH_MAX - 1].join("+");
    assert!(Expression::compile(&full).is_ok());
}

#[test]
fn work_and_output_end() {
    let many = json!({"list": vec!["0123456789"; 2_000], "text": "x".repeat(100_000)});
    let evaluate = |text: &str| {
        let inputs = Inputs::new(&many, &json!({})).unwrap();
        Expression::compile(text).unwrap().evaluate(&inputs)
    };
    assert_eq!(evaluate("params.list.map(x, params.text + x)"), Err(Failed), "too much work");
    assert_eq!(evaluate("params.text"), Err(Failed), "too much output");
    assert_eq!(evaluate("params.list.size()"), Ok(Some(json!(2_000))));
    let deep = (0..RESULT_DEPTH_MAX).fold(json!(1), |inner, _| json!([inner]));
    let inputs = Inputs::new(&json!({"deep": deep}), &json!({})).unwrap();
    assert_eq!(Expression::compile("params.deep").unwrap().evaluate(&inputs), Err(Failed));
}

#[test]
fn the_expressions_of_a_call_share_what_it_may_do() {
    let check = |params: &Value, text: &str, most: usize| {
        let inputs = Inputs::new(params, &json!({})).unwrap();
        let expression = Expression::compile(text).unwrap();
        let done = (0..MAPPING_VALUES_MAX).take_while(|_| expression.evaluate(&inputs).is_ok()).count();
        assert!((1..=most).contains(&done), "{text}: {done}");
    };
    let large = json!({"text": "x".repeat(4 * 1_024 * 1_024)});
    check(&large, "params.text.size()", WORK_BYTES_MAX / (3 * 4 * 1_024 * 1_024));
    check(&json!({"text": "x".repeat(60_000)}), "params.text", RESULTS_BYTES_MAX / 60_000);
}

const PIECES: [&str; 34] = [
    "params",
    "token",
    ".",
    ".?",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "arguments",
    "amount",
    "list",
    "sub",
    "'a'",
    "1",
    "-",
    "1.5",
    "9223372036854775807",
    "+",
    "*",
    "/",
    "%",
    "==",
    "<",
    "&&",
    "||",
    "!",
    "?",
    ":",
    ",",
    ".map(x, x)",
    "null",
    ".size()",
];

proptest::proptest! {
    #[test]
    fn any_text_is_refused_or_fails_or_ends(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES.as_slice()), 0..20),
    ) {
        if let Ok(expression) = Expression::compile(&pieces.concat()) {
            let _ = expression.evaluate(&inputs());
        }
    }
}
