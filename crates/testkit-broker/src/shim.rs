//! A door before the gateway for clients that bring no credentials: it adds a
//! real access token and a fresh proof of possession to each message, and
//! changes nothing else. The gateway behind it knows nothing of this.
//!
//! Answers stream through as they come. A message is held until its answer
//! begins, since the broker may want it once more with a nonce in the proof.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Method, Response, StatusCode, header},
    serve::ListenerExt as _,
};
use reqwest::Client;
use tokio::{net::TcpListener, sync::Mutex};

use crate::http_client::{Credentials, HttpClient};

/// The longest message that is taken; the gateway's own limit is below it.
const MESSAGE_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// How often one message is sent: as it is, with the broker's nonce, with a new token.
const ATTEMPTS_MAX: u32 = 3;
/// What belongs to one connection and not to the message.
const OF_THE_CONNECTION: [HeaderName; 3] = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

struct Shim {
    http: Client,
    /// Where the broker listens.
    broker: String,
    client: Mutex<HttpClient<'static>>,
}

/// Opens the door on a free port of loopback, for as long as the runtime lives.
pub async fn open(broker: String, client: HttpClient<'static>) -> SocketAddr {
    let http = Client::builder().tcp_nodelay(true).build().expect("a client");
    let shim = Arc::new(Shim { http, broker, client: Mutex::new(client) });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a listener has an address");
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let router = Router::new().fallback(pass).with_state(shim);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn pass(State(shim): State<Arc<Shim>>, message: Request) -> Response<Body> {
    let (parts, body) = message.into_parts();
    let Ok(body) = to_bytes(body, MESSAGE_BYTES_MAX).await else { return failed(StatusCode::PAYLOAD_TOO_LARGE) };
    let url = format!("{}{}", shim.broker, parts.uri);
    for attempt in 1..=ATTEMPTS_MAX {
        let Some(answer) = shim.send(&parts.method, &url, &parts.headers, &body).await else { break };
        if attempt == ATTEMPTS_MAX || !shim.wants_another(&answer).await {
            return streamed(answer);
        }
    }
    failed(StatusCode::BAD_GATEWAY)
}

impl Shim {
    async fn send(&self, method: &Method, url: &str, headers: &HeaderMap, body: &Bytes) -> Option<reqwest::Response> {
        let Credentials { authorization, proof } = self.client.lock().await.credentials(method.as_str(), url);
        let mut headers = headers.clone();
        for name in OF_THE_CONNECTION {
            headers.remove(name);
        }
        let ask = self.http.request(method.clone(), url).headers(headers);
        ask.header(header::AUTHORIZATION, authorization).header("dpop", proof).body(body.clone()).send().await.ok()
    }

    /// Whether the broker refused the credentials, so that others may do.
    async fn wants_another(&self, answer: &reqwest::Response) -> bool {
        let mut client = self.client.lock().await;
        client.learn_nonce_of(answer.headers());
        if answer.status() != StatusCode::UNAUTHORIZED {
            return false;
        }
        let told = answer.headers().get(header::WWW_AUTHENTICATE).and_then(|told| told.to_str().ok());
        if !told.unwrap_or_default().contains("use_dpop_nonce") {
            client.take_token().await;
        }
        true
    }
}

fn streamed(answer: reqwest::Response) -> Response<Body> {
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn failed(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
