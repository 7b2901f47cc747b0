//! An agent whose keys must be held in hardware (row 22), through the real binary: its key is made inside SoftHSM and never
//! leaves it; the maker of the device is the test's own. What SoftHSM cannot show is that nobody has the machine's disk.

use std::process::Command;

use bailiwick_keys::agent_key::{AgentKey, ProofSubject};
use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_testkit_broker::{
    http_client::{HttpAnswer, send},
    stdio_client::{StdioClient, succeeded},
    tools::{Need, SOFTHSM, ready},
};
use bailiwick_testkit_engine::device::Maker;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::world::Depot;

/// Makes a token of SoftHSM and a key in it.
const DEVICE: &str = env!("CARGO_BIN_EXE_fixture-device");
const PIN: &str = "73219";
const KEEPER: &str = r#"
purpose = "Keep what must not be lost"
allow = ["depot:read"]
key_protection = "hardware"
"#;

/// A depot with a role that demands hardware, and a device.
struct Place {
    depot: Depot,
    maker: Maker,
}

/// How a command ended, and what it said.
struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn open() -> Option<Self> {
        let mut depot = Depot::stdio(&ready(&[Need::Broker, Need::Device])?);
        let maker = Maker::default();
        depot.broker.kill();
        depot.broker.write("maker.pem", &maker.root());
        let config = depot.broker.read("bailiwick.toml");
        depot.broker.write("bailiwick.toml", &format!("{config}\n[attestation]\nroots = [\"maker.pem\"]\n"));
        depot.broker.write("roles/keeper.toml", KEEPER);
        depot.broker.write("tokens/.keep", "");
        let tokens = depot.broker.home().join("tokens");
        depot.broker.write("softhsm2.conf", &format!("directories.tokendir = {}\n", tokens.display()));
        depot.broker.write("pin", &format!("{PIN}\n"));
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(depot.broker.home().join("pin"), own).unwrap();
        depot.broker.serve_verified();
        depot.broker.publish();
        Some(Self { depot, maker })
    }

    fn conf(&self) -> String {
        self.depot.broker.home().join("softhsm2.conf").display().to_string()
    }

    /// A key inside the device; gives its public point.
    fn make(&self, label: &str) -> Vec<u8> {
        let made = Command::new(DEVICE).args([SOFTHSM, "safe", PIN, label]).env("SOFTHSM2_CONF", self.conf()).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        assert_eq!((&made["made_inside_and_stays"], &made["taken_out"]), (&json!(true), &json!(false)), "{made}");
        URL_SAFE_NO_PAD.decode(made["point"].as_str().unwrap()).unwrap()
    }

    fn uri(&self, label: &str) -> String {
        let pin = self.depot.broker.home().join("pin");
        format!("pkcs11:token=safe;object={label};type=private?module-path={SOFTHSM}&pin-source=file:{}", pin.display())
    }

    /// A file with what the maker says of a key.
    fn said(&self, name: &str, pem: &str) -> String {
        self.depot.broker.write(name, pem);
        self.depot.broker.home().join(name).display().to_string()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.depot.broker.command(words);
        command.env("SOFTHSM2_CONF", self.conf());
        command
    }

    fn run(&self, words: &[&str]) -> Told {
        let output = self.command(words).output().unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        Told { code: output.status.code(), stdout, stderr }
    }

    fn resource(&self) -> String {
        format!("{}/mcp/depot", self.depot.broker.url())
    }

    /// `Authorization` and `DPoP` for one call, by a key in the device.
    fn headers(&self, agent: &str, label: &str) -> Result<(String, String), Told> {
        let (uri, resource) = (self.uri(label), self.resource());
        let words = ["token", "--agent", agent, "--key", &uri, "--resource", &resource, "--output", "json"];
        let told = self.run(&[&words[..], &["--proof-for", "POST", &resource]].concat());
        if told.code != Some(0) {
            return Err(told);
        }
        let json: Value = serde_json::from_str(&told.stdout).unwrap();
        Ok((json["authorization"].as_str().unwrap().to_owned(), json["dpop"].as_str().unwrap().to_owned()))
    }

    async fn call(&self, authorization: &str, proof: Option<&str>) -> HttpAnswer {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "testkit", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({ "name": "lookup", "arguments": { "path": "/public/a" }, "_meta": meta });
        let mut ask = reqwest::Client::new()
            .post(self.resource())
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "lookup")
            .header("authorization", authorization)
            .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }));
        if let Some(proof) = proof {
            ask = ask.header("dpop", proof);
        }
        send(ask).await
    }

    /// An agent of the role, with a key in the device.
    fn keeper(&self) {
        let said = self.said("keeper.pem", &self.maker.says_of_point(&self.make("keeper")));
        let told = self.register(&["--public-key", &self.uri("keeper"), "--attestation", &said]);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
    }

    fn register(&self, key: &[&str]) -> Told {
        let words =
            ["agents", "register", "keeper", "--owner", "o@example.com", "--purpose", "a test", "--role", "keeper"];
        self.run(&[&words[..], key].concat())
    }
}

fn software() -> AgentKey {
    AgentKey::generate(SigningAlgorithm::ES256).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attested_key_in_a_device_acts_and_a_key_in_a_file_does_not() {
    let Some(place) = Place::open() else { return };
    let broker = &place.depot.broker;
    // A key in a file, with and without a word of the maker about another one.
    let file = broker.scratch().join("keeper.pem").display().to_string();
    let told = place.register(&["--generate-key", &file]);
    assert!(told.code == Some(1) && told.stderr.contains("must be held in hardware"), "{}", told.stderr);
    assert!(told.stderr.contains("hint: ") && !std::path::Path::new(&file).exists(), "{}", told.stderr);
    let in_device = place.make("other");
    let said = place.said("other.pem", &place.maker.says_of_point(&in_device));
    let told = place.register(&["--generate-key", &file, "--attestation", &said]);
    assert!(told.code == Some(1) && told.stderr.contains("for another key"), "{}", told.stderr);
    let forged = place.said("forged.pem", &Maker::default().says_of_point(&in_device));
    let told = place.register(&["--public-key", &place.uri("other"), "--attestation", &forged]);
    assert!(told.code == Some(1) && told.stderr.contains("not trusted here"), "{}", told.stderr);

    place.keeper();
    let shown = broker.run(&["agents", "show", "keeper", "--output", "json"]).succeeded().json();
    assert_eq!((&shown["key_protection"], &shown["keys"][0]["attestation"]), (&json!("hardware"), &json!("holds")));
    let (authorization, proof) = place.headers("keeper", "keeper").map_err(|told| told.stderr).unwrap();
    let answer = place.call(&authorization, Some(&proof)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(place.depot.ledger.acts(), 1);
    // The bridge signs every message inside the device.
    let uri = place.uri("keeper");
    let bridge = place.command(&["bridge", "depot", "--agent", "keeper", "--key", &uri]);
    let mut bridge = StdioClient::start(bridge.into()).await;
    succeeded(&bridge.call("lookup", json!({ "path": "/public/b" })).await);
    assert_eq!(bridge.close().await, Some(0));
    assert_eq!(place.depot.ledger.acts(), 2);

    // The stolen token, with a proof by a key of the thief's, and without any.
    let (resource, token) = (place.resource(), authorization.strip_prefix("DPoP ").unwrap());
    let nonce = answer.header("dpop-nonce").unwrap();
    let subject = ProofSubject { method: "POST", uri: &resource, nonce: Some(&nonce), access_token: Some(token) };
    let theirs = software().sign_dpop(&subject, jiff::Timestamp::now(), "theirs").unwrap();
    for (what, authorization, proof) in [
        ("another key", authorization.clone(), Some(theirs.as_str())),
        ("the same proof again", authorization.clone(), Some(proof.as_str())),
        ("no proof", format!("Bearer {token}"), None),
    ] {
        let refused = place.call(&authorization, proof).await;
        assert!(refused.status == 401 || refused.status == 403, "{what}: {} {}", refused.status, refused.body);
    }
    let (uri, resource) = (place.uri("keeper"), place.resource());
    let told = place.run(&["token", "--agent", "keeper", "--key", &uri, "--resource", &resource]);
    assert!(told.code == Some(3) && told.stderr.contains("hardware"), "a bearer token: {}", told.stderr);
    let added = place.said("soft.json", software().public_jwk());
    let told = place.run(&["agents", "add-key", "keeper", "--public-key", &added]);
    assert!(told.code == Some(1) && told.stderr.contains("must be held in hardware"), "{}", told.stderr);
    assert_eq!(place.depot.ledger.acts(), 2, "nothing of it reached the system");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_and_a_root_that_is_trusted_no_longer_hold_at_once() {
    let Some(mut place) = Place::open() else { return };
    place.keeper();
    assert!(place.headers("keeper", "keeper").is_ok());
    let clerk = place.depot.broker.register("clerk", "clerk", &[]);
    let key = clerk.key_file.display().to_string();
    let resource = place.resource();
    let words = ["token", "--agent", "clerk", "--key", &key, "--resource", &resource, "--output", "json"];
    let words = [&words[..], &["--proof-for", "POST", &resource]].concat();
    let headers = |told: &Told| -> (String, String) {
        let json: Value = serde_json::from_str(&told.stdout).unwrap();
        (json["authorization"].as_str().unwrap().to_owned(), json["dpop"].as_str().unwrap().to_owned())
    };
    let [one, two] = [place.run(&words), place.run(&words)].map(|told| headers(&told));
    assert_eq!(place.call(&one.0, Some(&one.1)).await.status, 200);
    let demand = ["agents", "key-protection", "clerk", "hardware", "--reason", "it moves money now"];
    let told = place.depot.broker.run(&demand).succeeded();
    assert!(told.stderr.contains("2 tokens were revoked"), "{}", told.stderr);
    assert_eq!(place.call(&two.0, Some(&two.1)).await.status, 401);
    let told = place.run(&words);
    assert!(told.code == Some(3) && told.stderr.contains("must be held in hardware"), "{}", told.stderr);

    let before = place.headers("keeper", "keeper").map_err(|told| told.stderr).unwrap();
    place.depot.broker.kill();
    place.depot.broker.edit("bailiwick.toml", &[("roots = [\"maker.pem\"]", "roots = []")]);
    place.depot.broker.serve_verified();
    assert_eq!(place.call(&before.0, Some(&before.1)).await.status, 401, "a token that was given before");
    let told = place.headers("keeper", "keeper").unwrap_err();
    assert!(told.code == Some(3) && told.stderr.contains("must be held in hardware"), "{}", told.stderr);
    let shown = place.depot.broker.run(&["agents", "show", "keeper"]).succeeded();
    assert!(shown.stdout.contains("not attested: the attestation is not trusted here"), "{}", shown.stdout);
}

/// The PIN is in a file or in the environment, and is repeated nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_never_in_an_argument_nor_in_a_message() {
    let Some(place) = Place::open() else { return };
    place.keeper();
    let (uri, resource) = (place.uri("keeper"), place.resource());
    let by = |key: &str, pin: &str| {
        let words = ["token", "--agent", "keeper", "--key", key, "--resource", &resource];
        let mut command = place.command(&[&words[..], &["--proof-for", "POST", &resource]].concat());
        let output = command.env("HSM_PIN", pin).output().unwrap();
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(!told.contains(PIN) && !told.contains("99999"), "{told}");
        (output.status.code(), told)
    };
    let within = uri.replace(&uri[uri.find("pin-source").unwrap()..], &format!("pin-value={PIN}"));
    let (code, told) = by(&within, "");
    assert!(code == Some(2) && told.contains("change the PIN"), "{told}");
    let of_variable = uri.replace(&uri[uri.find("pin-source").unwrap()..], "pin-source=env:HSM_PIN");
    assert_eq!(by(&of_variable, PIN).0, Some(0));
    let (code, told) = by(&of_variable, "99999");
    assert!(code == Some(1) && told.contains("locks itself"), "{told}");
    let (code, told) = by(&of_variable, "");
    assert!(code == Some(1) && told.contains("holds no PIN"), "{told}");
    let (code, told) = by(&uri.replace("object=keeper", "object=nobody"), "");
    assert!(code == Some(1) && told.contains("no such private key"), "{told}");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(place.depot.broker.home().join("pin"), open).unwrap();
    let (code, told) = by(&uri, "");
    assert!(code == Some(1) && told.contains("open to others"), "{told}");
}
