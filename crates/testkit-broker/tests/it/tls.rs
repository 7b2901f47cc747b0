//! TLS from files: a client that trusts the authority gets in, nobody else, and nothing is said in the clear.
//!
//! The certificate beside this file is for `localhost` and `127.0.0.1`, from an authority whose key was thrown away.

use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use bailiwick_testkit_broker::{
    broker::Broker,
    ports::free_port,
    tools::{Need, ready},
};
use reqwest::{Certificate, Client};

const AUTHORITY: &str = include_str!("tls/authority.pem");
const CHAIN: &str = include_str!("tls/chain.pem");
const KEY: &str = include_str!("tls/key.pem");
/// How long the broker may take until it answers, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A server that ends with its test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An installation with the certificate, on a port of loopback.
fn installed() -> Option<(Broker, u16)> {
    let broker = Broker::init(&ready(&[Need::Broker])?);
    for (file, text) in [("tls/chain.pem", CHAIN), ("tls/key.pem", KEY)] {
        broker.write(file, text);
    }
    let commented = "# tls = { certificate = \"tls/chain.pem\", key = \"tls/key.pem\" }";
    broker.edit("bailiwick.toml", &[(commented, commented.trim_start_matches("# "))]);
    Some((broker, free_port()))
}

async fn started(broker: &Broker, port: u16) -> (Server, Client) {
    let mut command = broker.command(&["serve", "--listen", &format!("127.0.0.1:{port}")]);
    let server = Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let authority = Certificate::from_pem(AUTHORITY.as_bytes()).unwrap();
    let client = Client::builder().add_root_certificate(authority).build().unwrap();
    let start = Instant::now();
    while client.get(format!("https://localhost:{port}/readyz")).send().await.is_err() {
        assert!(start.elapsed() < READY_WITHIN, "the broker does not answer over TLS");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_trusts_the_authority_gets_a_token_and_nobody_else() {
    let Some((broker, port)) = installed() else { return };
    let url = format!("https://127.0.0.1:{port}");
    let agent = broker.register("caller-1", "reader", &["--scope", "access:evaluate"]);
    let (_server, client) = started(&broker, port).await;
    let metadata = client.get(format!("{url}/.well-known/oauth-authorization-server")).send().await.unwrap();
    let metadata: serde_json::Value = metadata.json().await.unwrap();
    assert_eq!(metadata["issuer"], url, "it calls itself by what it serves");

    let authority = broker.scratch().join("authority.pem");
    fs::write(&authority, AUTHORITY).unwrap();
    let resource = format!("{url}/access/v1");
    let key = agent.key_file.to_string_lossy().into_owned();
    let words = ["token", "--agent", "caller-1", "--key", &key, "--resource", &resource];
    let words = [&words[..], &["--proof-for", "POST", &resource]].concat();
    let output = broker.command(&words).env("SSL_CERT_FILE", &authority).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("DPoP"), "{}", String::from_utf8_lossy(&output.stderr));

    let refused = broker.run(&words).ended_with(7);
    assert!(refused.stderr.contains("certificate") && refused.stderr.contains("SSL_CERT_FILE"), "{}", refused.stderr);
    let plain = Client::new().get(format!("http://127.0.0.1:{port}/readyz")).send().await;
    assert!(plain.is_err(), "nothing is said in the clear: {plain:?}");
}

#[test]
fn a_key_that_is_not_the_certificates_starts_nothing() {
    let Some((broker, port)) = installed() else { return };
    let listen = format!("127.0.0.1:{port}");
    // A sound key, but another one.
    let other = broker.register("other-1", "reader", &[]);
    broker.write("tls/key.pem", &fs::read_to_string(&other.key_file).unwrap());
    let refused = broker.run(&["serve", "--listen", &listen]);
    assert!(refused.code != 0 && refused.stderr.contains("TLS file"), "{} {}", refused.code, refused.stderr);
    fs::remove_file(broker.home().join("tls/key.pem")).unwrap();
    let refused = broker.run(&["serve", "--listen", &listen]);
    assert!(refused.code != 0 && refused.stderr.contains("key.pem"), "{} {}", refused.code, refused.stderr);
    assert_eq!(broker.run(&["doctor"]).code, 8);
}
