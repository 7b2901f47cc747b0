//! The attacks on signed tokens that everybody knows, as data: each makes tokens from what an honest one would say.

use aws_lc_rs::hmac;
use bailiwick_keys::signing_key::SigningKey;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value, json};

/// Where a thief's keys would be fetched from, if anybody believed a header.
pub(super) const ELSEWHERE: &str = "https://keys.evil.example/jwks";

/// What an honest token would be, and who could sign it.
pub(super) struct Honest<'a> {
    /// The header of the honest token.
    pub(super) header: Value,
    /// Claims with an identifier of their own, each time anew.
    pub(super) claims: &'a dyn Fn() -> Value,
    /// The key that the broker would verify it with.
    pub(super) own: &'a SigningKey,
    /// A key that nobody registered.
    pub(super) stranger: &'a SigningKey,
}

/// One attack by its name.
pub(super) type Forgery = (&'static str, fn(&Honest<'_>) -> Vec<String>);

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Honest<'_> {
    fn sign_by(&self, key: &SigningKey, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = key.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", encode(signature))
    }

    /// Signed by the right key, whatever it says.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        self.sign_by(self.own, header, claims)
    }

    /// As it should be.
    pub(super) fn token(&self) -> String {
        self.sign(&self.header.to_string(), &(self.claims)().to_string())
    }

    /// The honest header with members replaced, or removed by `null`.
    pub(super) fn header_with(&self, changes: &Value) -> String {
        merged(&self.header, changes).to_string()
    }

    /// The honest claims with members replaced, or removed by `null`.
    pub(super) fn claims_with(&self, changes: &Value) -> String {
        merged(&(self.claims)(), changes).to_string()
    }

    /// This header over honest claims, with a signature made from what is signed.
    fn with_signature(&self, header: &str, signature: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let input = format!("{}.{}", encode(header), encode((self.claims)().to_string()));
        let signature = signature(input.as_bytes());
        format!("{input}.{}", encode(signature))
    }
}

fn merged(honest: &Value, changes: &Value) -> Value {
    let mut merged: Map<String, Value> = honest.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            merged.remove(name);
        } else {
            merged.insert(name.clone(), value.clone());
        }
    }
    Value::Object(merged)
}

/// All that the public key could be taken for as a shared secret.
fn secrets(key: &SigningKey) -> Vec<Vec<u8>> {
    let jwk: Value = serde_json::from_str(&key.public().jwk).unwrap();
    let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [&[4], &number("x")[..], &number("y")[..]].concat();
    let prefix = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let der = [&prefix[..], &point].concat();
    let body = STANDARD.encode(&der);
    let lines: Vec<&str> = [body.get(..64), body.get(64..)].into_iter().flatten().collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
    let texts = [key.public().jwk.clone(), jwk["x"].as_str().unwrap().to_owned(), format!("{pem}\n"), pem];
    let mut all: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    all.extend([point, der, b"secret".to_vec(), vec![0], Vec::new()]);
    all
}

fn algorithm_none(honest: &Honest<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for name in ["none", "None", "NONE", "nOnE", "none ", "", "null"] {
        let header = honest.header_with(&json!({ "alg": name }));
        all.push(honest.with_signature(&header, |_| Vec::new()));
        all.push(honest.with_signature(&header, |_| vec![0; 64]));
        // A good signature over a header that says that there is none.
        all.push(honest.sign(&header, &(honest.claims)().to_string()));
        all.push(all[0].trim_end_matches('.').to_owned());
    }
    all.extend([json!(null), json!(0), json!(["ES256"]), json!({ "alg": "ES256" })].map(|odd| {
        let header = if odd.is_null() {
            honest.header_with(&json!({ "alg": null }))
        } else {
            honest.header_with(&json!({ "alg": odd }))
        };
        honest.sign(&header, &(honest.claims)().to_string())
    }));
    all
}

fn the_public_key_as_a_shared_secret(honest: &Honest<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for (name, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        let header = honest.header_with(&json!({ "alg": name }));
        for secret in secrets(honest.own) {
            let key = hmac::Key::new(algorithm, &secret);
            all.push(honest.with_signature(&header, |input| hmac::sign(&key, input).as_ref().to_vec()));
        }
    }
    all
}

fn another_algorithm(honest: &Honest<'_>) -> Vec<String> {
    let names =
        ["ES384", "ES512", "ES256K", "RS256", "PS256", "EdDSA", "Ed25519", "es256", "RSA-OAEP", "dir", "A128KW"];
    names.map(|name| honest.sign(&honest.header_with(&json!({ "alg": name })), &(honest.claims)().to_string())).to_vec()
}

fn a_key_that_the_token_brings_along(honest: &Honest<'_>) -> Vec<String> {
    let (own, theirs): (Value, Value) = (
        serde_json::from_str(&honest.own.public().jwk).unwrap(),
        serde_json::from_str(&honest.stranger.public().jwk).unwrap(),
    );
    let mut posing = theirs.clone();
    posing["kid"] = own["kid"].clone();
    let mut all: Vec<String> = [
        json!({ "jku": ELSEWHERE }),
        json!({ "x5u": ELSEWHERE }),
        json!({ "x5c": [STANDARD.encode(&honest.stranger.public().jwk)] }),
        json!({ "jku": ELSEWHERE, "kid": theirs["kid"] }),
        json!({ "jwks": { "keys": [theirs] } }),
        json!({ "kid": theirs["kid"] }),
        json!({ "x5t": theirs["kid"], "x5t#S256": theirs["kid"] }),
    ]
    .iter()
    .map(|changes| honest.sign_by(honest.stranger, &honest.header_with(changes), &(honest.claims)().to_string()))
    .collect();
    // The right key signs what points elsewhere: refused all the same.
    for changes in [json!({ "jku": ELSEWHERE }), json!({ "x5u": ELSEWHERE }), json!({ "x5c": ["AAAA"] })] {
        all.push(honest.sign(&honest.header_with(&changes), &(honest.claims)().to_string()));
    }
    if honest.header.get("jwk").is_none() {
        for jwk in [&theirs, &posing, &own] {
            let header = honest.header_with(&json!({ "jwk": jwk }));
            all.push(honest.sign_by(honest.stranger, &header, &(honest.claims)().to_string()));
        }
    } else {
        // A proof brings its key, so the key must be one that fits and that signed.
        let private = merged(&own, &json!({ "d": "AAAA" }));
        let cut = merged(&own, &json!({ "y": null }));
        let shared = json!({ "kty": "oct", "k": encode(b"secret") });
        let for_encryption = merged(&own, &json!({ "use": "enc" }));
        for jwk in [theirs, private, cut, shared, for_encryption, json!([own]), json!("x"), json!({})] {
            all.push(honest.sign(&honest.header_with(&json!({ "jwk": jwk })), &(honest.claims)().to_string()));
        }
        all.push(honest.sign(&honest.header_with(&json!({ "jwk": null })), &(honest.claims)().to_string()));
    }
    all
}

fn tricks_with_the_name_of_the_key(honest: &Honest<'_>) -> Vec<String> {
    let names = [
        json!("../../../../../../dev/null"),
        json!("/dev/null"),
        json!("..\\..\\keys\\tokens"),
        json!("file:///dev/null"),
        json!(ELSEWHERE),
        json!("' OR '1'='1"),
        json!("x' UNION SELECT 'AA==' --"),
        json!("\"; DROP TABLE agents; --"),
        json!("|/usr/bin/id"),
        json!("$(id)"),
        json!("{{7*7}}"),
        json!("\u{0}"),
        json!(""),
        json!("k".repeat(8_000)),
        json!(1),
        json!(true),
        json!(["x"]),
        json!({ "x": 1 }),
    ];
    let nothing = hmac::Key::new(hmac::HMAC_SHA256, &[]);
    let mut all = Vec::new();
    for name in names {
        let claims = (honest.claims)().to_string();
        let header = honest.header_with(&json!({ "kid": name }));
        all.push(honest.sign(&header, &claims));
        all.push(honest.sign_by(honest.stranger, &header, &claims));
        let header = honest.header_with(&json!({ "kid": name, "alg": "HS256" }));
        all.push(honest.with_signature(&header, |input| hmac::sign(&nothing, input).as_ref().to_vec()));
    }
    all
}

fn extensions_that_must_be_understood(honest: &Honest<'_>) -> Vec<String> {
    let claims = (honest.claims)().to_string();
    [
        json!({ "crit": ["exp"], "exp": 1 }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "crit": ["http://evil.example/x"], "http://evil.example/x": true }),
        json!({ "crit": ["alg"] }),
        json!({ "crit": [] }),
        json!({ "crit": "x" }),
        json!({ "b64": false }),
        json!({ "zip": "DEF" }),
        json!({ "enc": "A256GCM" }),
    ]
    .map(|changes| honest.sign(&honest.header_with(&changes), &claims))
    .to_vec()
}

/// The honest text with a member put before the others, which a lenient parser would let win or lose.
fn doubled(text: &str, member: &str) -> String {
    text.replacen('{', &format!("{{{member},"), 1)
}

fn members_that_come_twice(honest: &Honest<'_>) -> Vec<String> {
    let (header, claims) = (honest.header.to_string(), || (honest.claims)().to_string());
    let mut all: Vec<String> = [r#""alg":"none""#, r#""alg":"ES256""#, r#""typ":"JWT""#, r#""\u0061lg":"ES256""#]
        .map(|member| honest.sign(&doubled(&header, member), &claims()))
        .to_vec();
    for member in ["sub", "iss", "aud", "exp", "jti", "iat", "htu", "htm"] {
        let value = (honest.claims)().get(member).cloned();
        let Some(value) = value else { continue };
        all.push(honest.sign(&header, &doubled(&claims(), &format!("\"{member}\":{value}"))));
        all.push(honest.sign(&header, &doubled(&claims(), &format!("\"{member}\":\"other\""))));
        let escaped = format!("\\u{:04x}{}", u32::from(member.as_bytes()[0]), &member[1..]);
        all.push(honest.sign(&header, &doubled(&claims(), &format!("\"{escaped}\":{value}"))));
    }
    all
}

/// Signatures that fit everything in a verifier that forgot a check (CVE-2022-21449 is the first), or fit nothing.
fn psychic_and_broken_signatures(honest: &Honest<'_>) -> Vec<String> {
    // The order of P-256.
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (zero, one) = ([0_u8; 32], {
        let mut one = [0_u8; 32];
        one[31] = 1;
        one
    });
    let header = honest.header.to_string();
    let fixed = [
        [zero, zero].concat(),
        [N, N].concat(),
        [zero, N].concat(),
        [N, zero].concat(),
        [one, zero].concat(),
        [zero, one].concat(),
        [one, one].concat(),
        vec![0xff; 64],
        Vec::new(),
        vec![0],
        vec![0x30, 0x06, 2, 1, 0, 2, 1, 0],
        vec![0; 63],
        vec![0; 65],
        vec![0; 128],
    ];
    let mut all: Vec<String> = fixed.iter().map(|bytes| honest.with_signature(&header, |_| bytes.clone())).collect();
    let good = |input: &[u8]| honest.own.sign(input).unwrap();
    let changes: [fn(Vec<u8>) -> Vec<u8>; 6] = [
        |good| [&[0; 32], &good[32..]].concat(),
        |good| [&good[..32], &[0; 32]].concat(),
        |good| [&good[32..], &good[..32]].concat(),
        |good| [&good[..], &[0]].concat(),
        |good| good[..63].to_vec(),
        // As OpenSSL writes it: right numbers, and not a JWS signature.
        |good| {
            let number = |half: &[u8]| [&[2, 33, 0][..], half].concat();
            [&[0x30, 70][..], &number(&good[..32]), &number(&good[32..])].concat()
        },
    ];
    all.extend(changes.map(|change| honest.with_signature(&header, |input| change(good(input)))));
    all.push(honest.sign_by(honest.stranger, &header, &(honest.claims)().to_string()));
    // Signed for other bytes than these.
    let (one, other) = (honest.token(), honest.sign(&header, &honest.claims_with(&json!({ "x": 1 }))));
    let (signed, _) = one.rsplit_once('.').unwrap();
    all.push(format!("{signed}.{}", other.rsplit('.').next().unwrap()));
    all
}

fn other_spellings_of_the_same_token(honest: &Honest<'_>) -> Vec<String> {
    let whole = || {
        let token = honest.token();
        let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let [header, claims, signature] = <[String; 3]>::try_from(parts).unwrap();
        [header, claims, signature]
    };
    let mut all = Vec::new();
    for at in 0..3 {
        for change in ["=", "==", "%3D", "A", "\t", " ", "+", "/"] {
            let mut parts = whole();
            parts[at].push_str(change);
            all.push(parts.join("."));
        }
        let mut parts = whole();
        parts[at].clear();
        all.push(parts.join("."));
    }
    // Sixty-four bytes leave four bits of the last character unused, and only one spelling of them is ours.
    let [header, claims, mut signature] = whole();
    let last = signature.pop().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    signature.push(alphabet.chars().nth(place ^ 1).unwrap());
    all.push([header, claims, signature].join("."));
    let [header, claims, signature] = whole();
    all.extend([
        format!("{header}.{claims}"),
        format!("{header}{claims}{signature}"),
        format!("{header}..{claims}.{signature}"),
        format!("{header}.{claims}.{signature}."),
        format!(".{header}.{claims}.{signature}"),
        format!("{header}.{claims}.{signature}.AA.AA"),
        format!("{header}.{claims}.{signature}.{header}.{claims}"),
        format!("{header}.{claims}.{signature},{header}.{claims}.{signature}"),
        json!({ "payload": claims, "protected": header, "signature": signature }).to_string(),
        json!({ "payload": claims, "signatures": [{ "protected": header, "signature": signature }] }).to_string(),
        "...".to_owned(),
        "eyJ".to_owned(),
    ]);
    all
}

fn sizes_and_shapes(honest: &Honest<'_>) -> Vec<String> {
    let (header, claims) = (honest.header.to_string(), || (honest.claims)().to_string());
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        honest.sign(&header, &honest.claims_with(&json!({ "x": "y".repeat(20_000) }))),
        honest.sign(&honest.header_with(&json!({ "x": "y".repeat(20_000) })), &claims()),
        honest.sign(&header, &doubled(&claims(), &format!("\"x\":{}", deep(2_000)))),
        honest.sign(&doubled(&header, &format!("\"x\":{}", deep(200))), &claims()),
        honest.sign(&header, &format!("[{}]", claims())),
        honest.sign(&header, &format!("{}{}", claims(), claims())),
        honest.sign(&header, &format!("{} x", claims())),
        honest.sign(&header, "null"),
        honest.sign(&header, "{}"),
        honest.sign(&header, ""),
        honest.sign("null", &claims()),
        honest.sign("{}", &claims()),
        honest.sign(&header, &format!("\u{feff}{}", claims())),
        honest.sign(&header, &claims().replace("\":", "\":/**/")),
        honest.sign(&header, &claims().replacen('{', "{\"x\":\"\\ud800\",", 1)),
        honest.sign(&header, &claims().replacen('{', "{\"x\":1e400,", 1)),
        honest.sign(&header, &claims().replacen('{', "{\"x\":NaN,", 1)),
    ]
}

fn other_types(honest: &Honest<'_>) -> Vec<String> {
    let own = honest.header["typ"].as_str().unwrap().to_owned();
    let types = [
        "at+jwt",
        "dpop+jwt",
        "client-authentication+jwt",
        "token-introspection+jwt",
        "secevent+jwt",
        "logout+jwt",
        "oauth-id-jag+jwt",
        "application/json",
        "",
        "JOSE",
    ];
    let mut all: Vec<String> = types
        .iter()
        .filter(|typ| **typ != own)
        .map(|typ| honest.sign(&honest.header_with(&json!({ "typ": typ })), &(honest.claims)().to_string()))
        .collect();
    all.extend(
        [json!(1), json!(["at+jwt"])]
            .map(|typ| honest.sign(&honest.header_with(&json!({ "typ": typ })), &(honest.claims)().to_string())),
    );
    all
}

/// What fits every kind of token.
pub(super) const FORGERIES: &[Forgery] = &[
    ("alg none", algorithm_none),
    ("key confusion", the_public_key_as_a_shared_secret),
    ("another algorithm", another_algorithm),
    ("embedded jwk, jku, x5u, x5c", a_key_that_the_token_brings_along),
    ("kid tricks", tricks_with_the_name_of_the_key),
    ("crit", extensions_that_must_be_understood),
    ("duplicate members", members_that_come_twice),
    ("psychic signatures", psychic_and_broken_signatures),
    ("padding, whitespace, dots", other_spellings_of_the_same_token),
    ("huge and odd", sizes_and_shapes),
    ("other types", other_types),
];
