//! Agents that prove themselves by the certificate of their connection, through the real binary: an authority's, a
//! self-signed one, an SVID; and tokens that are good on that connection alone.

use bailiwick_testkit_broker::{
    http_client::{HttpAnswer, send},
    ports::free_port,
    stdio_client::{StdioClient, succeeded},
    tools::{Need, ready},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType};
use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};

use crate::world::Depot;

const AUTHORITY: &str = include_str!("tls/authority.pem");
const CHAIN: &str = include_str!("tls/chain.pem");
const KEY: &str = include_str!("tls/key.pem");
const SPIFFE: &str = "spiffe://prod.example/ns/bots/sa/robot";

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A client's certificate and key, PEM.
struct Shown {
    certificate: String,
    key: String,
}

/// With these names, under an authority or by itself.
fn shown(names: Vec<SanType>, by: Option<&Issuer>) -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    let certificate = match by {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Shown { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// A depot whose broker asks for certificates too.
struct Place {
    depot: Depot,
    port: u16,
    authority: Issuer,
}

impl Place {
    fn open() -> Option<Self> {
        let mut depot = Depot::stdio(&ready(&[Need::Broker])?);
        let (port, agents, domain) = (free_port(), authority("agents"), authority("domain"));
        depot.broker.kill();
        for (file, text) in [
            ("tls/chain.pem", CHAIN),
            ("tls/key.pem", KEY),
            ("tls/agents.pem", &agents.pem()),
            ("tls/bundle.pem", &domain.pem()),
        ] {
            depot.broker.write(file, text);
        }
        let rules = format!(
            "\n[listen.mtls]\naddress = \"127.0.0.1:{port}\"\ncertificate = \"tls/chain.pem\"\nkey = \"tls/key.pem\"\n\
             [client_certificates]\nauthorities = [\"tls/agents.pem\"]\n\
             [[client_certificates.spiffe]]\ntrust_domain = \"prod.example\"\nbundle = \"tls/bundle.pem\"\n"
        );
        let config = depot.broker.read("bailiwick.toml");
        depot.broker.write("bailiwick.toml", &format!("{config}{rules}"));
        depot.broker.serve_verified();
        let svid = shown(vec![SanType::URI(SPIFFE.try_into().unwrap())], Some(&domain));
        depot.broker.write("svid.pem", &svid.certificate);
        depot.broker.write("svid.key", &svid.key);
        Some(Self { depot, port, authority: agents })
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A client that shows a certificate, or none.
    fn client(shown: Option<&Shown>) -> Client {
        let builder = Client::builder().add_root_certificate(Certificate::from_pem(AUTHORITY.as_bytes()).unwrap());
        let identity = |shown: &Shown| Identity::from_pem(format!("{}{}", shown.certificate, shown.key).as_bytes());
        match shown {
            Some(shown) => builder.identity(identity(shown).unwrap()).build().unwrap(),
            None => builder.build().unwrap(),
        }
    }

    fn resource(&self) -> String {
        format!("{}/mcp/depot", self.depot.broker.url())
    }

    async fn ask(&self, client: &Client, agent: &str) -> HttpAnswer {
        let resource = self.resource();
        let form = [("grant_type", "client_credentials"), ("client_id", agent), ("resource", &resource)];
        send(client.post(format!("{}/oauth/token", self.url())).form(&form)).await
    }

    async fn token(&self, client: &Client, agent: &str) -> String {
        let answer = self.ask(client, agent).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let json = answer.message_or_body();
        assert_eq!(json["token_type"], "Bearer");
        json["access_token"].as_str().unwrap().to_owned()
    }

    /// The status of a tool call with a token.
    async fn call(&self, client: &Client, origin: &str, token: &str) -> HttpAnswer {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "testkit", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({ "name": "lookup", "arguments": { "path": "/public/a" }, "_meta": meta });
        let ask = client
            .post(format!("{origin}/mcp/depot"))
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "lookup")
            .bearer_auth(token)
            .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }));
        send(ask).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_gets_a_token_that_is_good_on_its_connection_alone() {
    let Some(place) = Place::open() else { return };
    let broker = &place.depot.broker;
    broker.register("robot-1", "clerk", &[]);
    broker.run(&["agents", "add-certificate", "robot-1", "dns=robot-1.bots.example"]).succeeded();
    let name = || SanType::DnsName("robot-1.bots.example".try_into().unwrap());
    let own = Place::client(Some(&shown(vec![name()], Some(&place.authority))));
    let token = place.token(&own, "robot-1").await;
    let answer = place.call(&own, &place.url(), &token).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(place.depot.ledger.acts(), 1);
    // The same authority, the same name, another key: another connection all the same.
    let renewed = Place::client(Some(&shown(vec![name()], Some(&place.authority))));
    let stranger = Place::client(Some(&shown(Vec::new(), None)));
    for (who, client, origin) in [
        ("on the plain listener", &own, broker.url()),
        ("without a certificate", &Place::client(None), place.url()),
        ("with another certificate", &renewed, place.url()),
        ("with a stranger's", &stranger, place.url()),
    ] {
        let refused = place.call(client, &origin, &token).await;
        assert_eq!(refused.status, 401, "{who}: {}", refused.body);
        assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"), "{who}");
    }
    assert_eq!(place.depot.ledger.acts(), 1, "nothing of it reached the system");
    place.token(&renewed, "robot-1").await;
    for (who, client, agent) in [
        ("a stranger", &stranger, "robot-1"),
        ("nobody", &Place::client(None), "robot-1"),
        ("another agent's name", &own, "robot-2"),
    ] {
        let refused = place.ask(client, agent).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.message_or_body()["error"]),
            (401, &json!("invalid_client")),
            "{who}"
        );
    }
    broker.run(&["agents", "suspend", "robot-1", "--reason", "a test"]).succeeded();
    assert_eq!(place.call(&own, &place.url(), &token).await.status, 403);
    assert_eq!(place.ask(&own, "robot-1").await.status, 401);
}

/// Trap 9, through the real door: a header that claims a certificate changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_in_a_header_is_nobodys() {
    let Some(place) = Place::open() else { return };
    place.depot.broker.register("robot-1", "clerk", &[]);
    let own = shown(Vec::new(), None);
    place.depot.broker.write("own.pem", &own.certificate);
    let file = place.depot.broker.home().join("own.pem");
    let file = format!("file={}", file.display());
    place.depot.broker.run(&["agents", "add-certificate", "robot-1", &file]).succeeded();
    let token = place.token(&Place::client(Some(&own)), "robot-1").await;
    let digits: String = own.certificate.lines().filter(|line| !line.starts_with("---")).collect();
    let resource = place.resource();
    let form = [("grant_type", "client_credentials"), ("client_id", "robot-1"), ("resource", &resource)];
    for origin in [place.depot.broker.url(), place.url()] {
        let client = Place::client(None);
        let claim = |ask: reqwest::RequestBuilder| ask.header("client-cert", format!(":{digits}:"));
        let refused = send(claim(client.post(format!("{origin}/oauth/token")).form(&form))).await;
        assert_eq!(refused.status, 401, "{origin}: {}", refused.body);
        let refused = send(claim(client.get(format!("{origin}/mcp/depot")).bearer_auth(&token))).await;
        assert_eq!(refused.status, 401, "{origin}: {}", refused.body);
    }
    assert_eq!(place.depot.ledger.acts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svid_and_a_pinned_key_are_credentials_of_one_agent_each() {
    let Some(place) = Place::open() else { return };
    let broker = &place.depot.broker;
    broker.register("robot-1", "clerk", &[]);
    broker.register("robot-2", "clerk", &[]);
    let spiffe = format!("spiffe={SPIFFE}");
    broker.run(&["agents", "add-certificate", "robot-1", &spiffe]).succeeded();
    let taken = broker.run(&["agents", "add-certificate", "robot-2", &spiffe]).ended_with(1);
    assert!(taken.stderr.contains("another agent"), "{}", taken.stderr);
    let svid = Shown { certificate: broker.read("svid.pem"), key: broker.read("svid.key") };
    let client = Place::client(Some(&svid));
    let token = place.token(&client, "robot-1").await;
    assert_eq!(place.call(&client, &place.url(), &token).await.status, 200);
    assert_eq!(place.ask(&client, "robot-2").await.status, 401);
    let listed = broker.run(&["agents", "show", "robot-1", "--output", "json"]).succeeded().json();
    let certificate = &listed["certificates"][0];
    assert_eq!((&certificate["method"], &certificate["value"]), (&json!("spiffe"), &json!(SPIFFE)));
    assert!(certificate["last_used_at"].is_string(), "{certificate}");
    broker.run(&["agents", "remove-credential", "robot-1", certificate["id"].as_str().unwrap()]).succeeded();
    assert_eq!(place.ask(&client, "robot-1").await.status, 401);
    let metadata = client.get(format!("{}/.well-known/oauth-authorization-server", place.url())).send().await.unwrap();
    let metadata: Value = metadata.json().await.unwrap();
    assert_eq!(metadata["mtls_endpoint_aliases"]["token_endpoint"], format!("{}/oauth/token", place.url()));
    assert_eq!(metadata["issuer"], broker.url());
}

/// The command line's own agent: a token for a script, and the bridge, with nothing but a certificate.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_a_certificate() {
    let Some(place) = Place::open() else { return };
    let broker = &place.depot.broker;
    broker.register("robot-1", "clerk", &[]);
    broker.run(&["agents", "add-certificate", "robot-1", &format!("spiffe={SPIFFE}")]).succeeded();
    let home = broker.home();
    let [certificate, key, authority] =
        ["svid.pem", "svid.key", "authority.pem"].map(|file| home.join(file).display().to_string());
    broker.write("authority.pem", AUTHORITY);
    let resource = place.resource();
    let words = ["--agent", "robot-1", "--certificate", &certificate, "--key", &key];
    let run = |command: &[&str]| {
        let words = [command, &words[..]].concat();
        let output = broker.command(&words).env("SSL_CERT_FILE", &authority).output().unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), stdout, stderr)
    };
    let asked = ["token", "--resource", &resource];
    let (code, _, stderr) = run(&asked);
    assert!(code != Some(0) && stderr.contains("svid.key"), "a key that others may read is none: {stderr}");
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(home.join("svid.key"), own).unwrap();
    let (code, token, stderr) = run(&asked);
    assert_eq!(code, Some(0), "{stderr}");
    let shown = Shown { certificate: broker.read("svid.pem"), key: broker.read("svid.key") };
    let answer = place.call(&Place::client(Some(&shown)), &place.url(), token.trim()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(place.call(&Place::client(None), &broker.url(), token.trim()).await.status, 401);
    let (code, told, stderr) = run(&["permissions", "depot", "--url", &broker.url()]);
    assert!(code == Some(0) && told.contains("lookup"), "{told} {stderr}");
    let mut bridge = broker.command(&[&["bridge", "depot"], &words[..]].concat());
    bridge.env("SSL_CERT_FILE", &authority);
    let mut bridge = StdioClient::start(bridge.into()).await;
    succeeded(&bridge.call("lookup", json!({ "path": "/public/b" })).await);
    assert_eq!(bridge.close().await, Some(0));
    assert_eq!(place.depot.ledger.acts(), 2, "one by the token, one by the bridge");
    let (code, _, stderr) = run(&[&asked[..], &["--proof-for", "POST", &resource]].concat());
    assert!(code == Some(2) && stderr.contains("needs no proof"), "{stderr}");
    let (code, told, stderr) = run(&["deregister", "--url", &broker.url()]);
    assert!(code == Some(0) && told.contains("retired"), "{told} {stderr}");
    let (code, _, stderr) = run(&asked);
    assert_eq!(code, Some(3), "{stderr}");
}
