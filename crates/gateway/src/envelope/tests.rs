//! What an envelope takes and, mostly, what it refuses.

use proptest::prelude::*;

use super::*;

fn kind(text: &str) -> String {
    match Envelope::parse(text.as_bytes()) {
        Ok(Envelope::Call { id, method, params }) => format!("call {} {method} {}", id.raw(), params.unwrap_or("-")),
        Ok(Envelope::Notification { method, params }) => format!("notification {method} {}", params.unwrap_or("-")),
        Ok(Envelope::Result { id, result }) => format!("result {} {result}", id.raw()),
        Ok(Envelope::Error { id, error }) => format!("error {} {error}", id.as_ref().map_or("null", Id::raw)),
        Err(EnvelopeError { id, fault }) => {
            format!("refused {} {} {fault}", fault.code(), id.as_ref().map_or("null", Id::raw))
        }
    }
}

#[test]
fn every_kind_keeps_its_bytes() {
    for (text, expected) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "call 1 ping -"),
        (r#"{"id":"\u0061","params":{ "a" : 1.0 },"method":"x","jsonrpc":"2.0"}"#, r#"call "\u0061" x { "a" : 1.0 }"#),
        (
            r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"x"}"#,
            "call 123456789012345678901234567890 x -",
        ),
        (r#"{"jsonrpc":"2.0","\u006dethod":"n","params":{}}"#, "notification n {}"),
        (r#"{"jsonrpc":"2.0","id":-3,"result":null}"#, "result -3 null"),
        (
            r#"{"jsonrpc":"2.0","id":7,"result":{"n":12345678901234567890123}}"#,
            r#"result 7 {"n":12345678901234567890123}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#,
            r#"error null {"code":-32700,"message":"m"}"#,
        ),
        (r#"{"jsonrpc":"2.0","error":{"code":1,"message":"m"}}"#, r#"error null {"code":1,"message":"m"}"#),
    ] {
        assert_eq!(kind(text), expected, "{text}");
    }
}

#[test]
fn whatever_two_parsers_could_read_differently_is_refused() {
    let deep =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{}{}}}}}"#, "[".repeat(64), "]".repeat(64));
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","\u006dethod":"b"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","x":1,"x":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"p":{"k":1,"k":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"p":[{"k":1,"\u006b":2}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"p":"\ud800"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"\udc00":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"$serde_json::private::RawValue":"{}"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"n":1e999}}"#,
        &deep,
    ] {
        let refused = kind(text);
        assert!(refused.starts_with("refused -32600"), "{text}: {refused}");
    }
    assert!(kind(r#"{"jsonrpc":"2.0","id":9,"method":"a","params":{"k":1,"k":2}}"#).starts_with("refused -32600 9 "));
}

#[test]
fn what_is_no_message_is_refused() {
    for (text, code) in [
        ("", -32700),
        ("{", -32700),
        ("nonsense", -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a"} {}"#, -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#, -32600),
        (r#"{"id":1,"method":"a"}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"a"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1e3,"method":"a"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":-0,"method":"a"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":true,"method":"a"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a\nb"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":null}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"error":"m"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
    ] {
        assert!(kind(text).starts_with(&format!("refused {code} ")), "{text}: {}", kind(text));
    }
    assert!(matches!(Envelope::parse(b"{\"a\":\"\xff\"}"), Err(EnvelopeError { fault: Fault::Encoding, .. })));
    let long = vec![b' '; BODY_BYTES_MAX + 1];
    assert!(matches!(Envelope::parse(&long), Err(EnvelopeError { fault: Fault::TooLong(_), .. })));
    let id = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"a"}}"#, "i".repeat(ID_BYTES_MAX));
    assert!(kind(&id).starts_with("refused -32600"));
    for text in ["[", "{\"jsonrpc\":7}", r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#] {
        assert!(!kind(text).contains("Outer") && !kind(text).contains("RawValue"), "{}", kind(text));
    }
}

#[test]
fn ids_compare_by_meaning() {
    let id = |raw| Id::parse(raw).unwrap();
    assert_eq!(id(r#""a""#), id(r#""\u0061""#));
    assert_ne!(id("1"), id(r#""1""#));
    assert_eq!(id(r#""\u0061""#).raw(), r#""\u0061""#);
    assert_eq!(id("18446744073709551615").number(), Some(u64::MAX));
    assert_eq!(id(r#""1""#).number(), None);
}

#[test]
fn arguments_keep_every_digit_or_are_refused() {
    for good in
        ["0", "-0", "1.0", "0.10", "1e2", "-1.5E-3", "9223372036854775807", "18446744073709551615", "0.1", "0e9"]
    {
        assert!(parse_arguments(Some(&format!(r#"{{"n":{good}}}"#))).is_ok(), "{good}");
    }
    for bad in [
        "18446744073709551616",
        "-9223372036854775809",
        "12345678901234567890123",
        "99.99999999999999999",
        "0.1000000000000000055511151231257827",
        "1e-400",
        "1e400",
        "1e99999999999999999999",
    ] {
        for text in [format!(r#"{{"n":{bad}}}"#), format!(r#"{{"s":"7\"8","d":[{{"n":[1,{bad}]}}]}}"#)] {
            assert!(parse_arguments(Some(&text)).is_err(), "{text}");
        }
    }
    assert!(parse_arguments(Some(r#"{"s":"12345678901234567890123","t":"\\"}"#)).is_ok());
    assert!(parse_arguments(Some("[]")).is_err());
    assert!(parse_arguments(Some(r#"{"a":{"b":1,"b":1}}"#)).is_err());
    assert!(parse_arguments(Some(r#"{"a":{"$serde_json::private::RawValue":"{\"path\":1}"}}"#)).is_err());
    assert_eq!(parse_arguments(None), Ok(serde_json::Map::new()));
    let many = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(ARGUMENT_VALUES_MAX));
    assert!(parse_arguments(Some(&many)).is_err());
}

#[test]
fn members_are_found_and_replaced_in_place() {
    let text = r#"{ "a":{"t":[1, 2]}, "\u0062" : "x" }"#;
    let a = member(text, "a").unwrap();
    assert_eq!(a, r#"{"t":[1, 2]}"#);
    let t = member(a, "t").unwrap();
    assert_eq!(splice(text, t, "9"), Some(r#"{ "a":{"t":9}, "\u0062" : "x" }"#.to_owned()));
    assert_eq!(text_member(text, "b").as_deref(), Some("x"));
    assert_eq!(member(text, "c"), None);
    assert_eq!(splice("abc", "zzz", "9"), None);
}

#[test]
fn a_message_fits_on_one_line() {
    let pretty = Bytes::from_static(b"{\n\t\"a\": \"x\\ny\"\r\n}");
    assert_eq!(one_line(pretty), Bytes::from_static(b"{ \t\"a\": \"x\\ny\"  }"));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map("[a-z\"\\\\é]{0,6}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_composed_is_parsed_again(value in json(), number in any::<i64>(), text in any::<String>(), pretty in any::<bool>()) {
        let params = serde_json::json!({ "arguments": value });
        let params = if pretty { serde_json::to_string_pretty(&params) } else { serde_json::to_string(&params) }.unwrap();
        for raw in [number.to_string(), serde_json::to_string(&text.chars().take(30).collect::<String>()).unwrap()] {
            let message = one_line(call(&raw, "tools/call", Some(&params)));
            prop_assert!(!message.contains(&b'\n'));
            let Ok(Envelope::Call { id, method, params: Some(again) }) = Envelope::parse(&message) else {
                return Err(TestCaseError::fail("no call"));
            };
            prop_assert_eq!((id.raw(), &*method), (&*raw, "tools/call"));
            let arguments = parse_arguments(member(again, "arguments").filter(|raw| raw.starts_with('{')));
            if let serde_json::Value::Object(map) = &value {
                prop_assert_eq!(arguments, Ok(map.clone()));
            }
        }
    }

    #[test]
    fn a_repeated_key_is_found_at_any_level(value in json(), depth in 0..20_usize) {
        let twice = format!(r#"{{"k":{value},"k":0}}"#);
        let nested = format!("{}{twice}{}", r#"{"x":["#.repeat(depth), "]}".repeat(depth));
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"p":{nested}}}}}"#);
        prop_assert!(Envelope::parse(text.as_bytes()).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Envelope::parse(&bytes);
    }

    #[test]
    fn finite_floats_are_exact(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
        let printed = serde_json::to_string(&number).unwrap();
        prop_assert!(super::exact::check(&printed).is_ok());
    }
}
