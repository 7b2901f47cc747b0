//! One connection of HTTP/1.1 that stays open: as little client as there can be, for it shares the machine with what it
//! measures.

use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An open connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    path: String,
}

async fn connect(host: &str) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(host).await.unwrap_or_else(|error| panic!("{host}: {error}"));
    stream.set_nodelay(true).expect("a socket");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects to where `url` is; what is posted goes to its path.
    pub(crate) async fn open(url: &str) -> Self {
        let uri: Uri = url.parse().expect("a URL");
        let host = uri.authority().expect("a host").to_string();
        let sender = connect(&host).await;
        Self { sender, host, path: uri.path().to_owned() }
    }

    /// Posts a body and reads the whole answer.
    pub(crate) async fn post(&mut self, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let mut ask = Request::post(self.path.as_str()).header("host", &self.host);
        for (name, value) in headers {
            ask = ask.header(*name, *value);
        }
        let ask = ask.body(Full::new(body)).expect("a request");
        // Whoever waits between two rounds may have been hung up on.
        if self.sender.ready().await.is_err() {
            self.sender = connect(&self.host).await;
        }
        let answer: Response<_> = self.sender.send_request(ask).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}
