//! A user who signed in at a real browser, and whose further visits are plain requests with that browser's cookie: opens
//! what clients ask for, answers the form, is sent back.

use reqwest::{Client, Response, StatusCode, Url, redirect::Policy};
use serde_json::{Value, json};

use crate::{broker::Broker, browser::browse, tools::Tools};

/// Redirects that a visit follows, at most.
const REDIRECTS_MAX: usize = 5;

/// A user who is signed in.
#[derive(Debug)]
pub struct Person {
    /// The session, as the browser sends it: `name=value`.
    pub cookie: String,
    http: Client,
}

/// Where a client's request led.
#[derive(Debug)]
pub enum Visit {
    /// Back to the client, with what was added to its redirect URI; `asked` says whether the user was asked first.
    SentBack {
        /// The whole URL.
        url: Url,
        /// Whether there was a question.
        asked: bool,
    },
    /// To a page that is no question: the broker refuses and sends nobody anywhere.
    Page {
        /// Its status.
        status: StatusCode,
        /// Its text.
        text: String,
    },
}

impl Visit {
    /// One parameter of where the user was sent back to.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let Self::SentBack { url, .. } = self else { return None };
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl Person {
    /// Makes a user known, or one who is known a passkey, and signs them in.
    pub fn sign_in(tools: &Tools, broker: &Broker, id: &str) -> Self {
        Self::sign_in_and(tools, broker, id, &[]).0
    }

    /// The same, and goes on in that browser; tells what came of each of `steps`.
    pub fn sign_in_and(tools: &Tools, broker: &Broker, id: &str, steps: &[Value]) -> (Self, Vec<Value>) {
        let link = broker.run(&["users", "invite", id]).succeeded().stdout.trim().to_owned();
        let mut all = vec![json!(["goto", link]), json!(["send", "form[data-passkey] button"])];
        all.extend_from_slice(steps);
        all.push(json!(["cookies"]));
        let told = browse(tools, &Value::Array(all));
        let member = |name: &str| told.last()?.get(0)?.get(name)?.as_str();
        let (name, value) = member("name").zip(member("value")).expect("a session's cookie");
        let http = Client::builder().redirect(Policy::none()).build().expect("a client");
        let person = Self { cookie: format!("{name}={value}"), http };
        (person, told.get(2..told.len() - 1).unwrap_or_default().to_vec())
    }

    /// Opens a client's request, and answers with `decision` (`allow` or `refuse`) if there is a question.
    pub async fn answer(&self, url: &Url, redirect: &str, decision: &str) -> Visit {
        let came = self.follow(self.http.get(url.clone()), url.clone(), redirect).await;
        let (page, at) = match came {
            Came::Back(url) => return Visit::SentBack { url, asked: false },
            Came::Page { status, text, at } if status == StatusCode::OK && text.contains("name=\"decision\"") => {
                (text, at)
            }
            Came::Page { status, text, .. } => return Visit::Page { status, text },
        };
        let form = [
            ("request", field(&page, "request")),
            ("form_token", field(&page, "form_token")),
            ("lasting", "session".to_owned()),
            ("decision", decision.to_owned()),
        ];
        let target = at.join("/oauth/consent").expect("a path");
        let ask = self.http.post(target.clone()).form(&form).header("origin", at.origin().ascii_serialization());
        match self.follow(ask, target, redirect).await {
            Came::Back(url) => Visit::SentBack { url, asked: true },
            Came::Page { status, text, .. } => Visit::Page { status, text },
        }
    }

    /// Sends a form that stands on a page of the broker's: both as URLs.
    pub async fn post_form(&self, page: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        let read = self.read(page).await.text().await.expect("a page");
        let token = field(&read, "form_token");
        let form: Vec<(&str, &str)> = fields.iter().copied().chain([("form_token", token.as_str())]).collect();
        let origin = Url::parse(target).expect("a URL").origin().ascii_serialization();
        let ask = self.http.post(target).form(&form).header("origin", origin).header("cookie", &self.cookie);
        ask.send().await.expect("the broker answers")
    }

    /// Reads a page of the broker's as this user.
    pub async fn read(&self, url: &str) -> Response {
        self.http.get(url).header("cookie", &self.cookie).send().await.expect("the broker answers")
    }

    async fn follow(&self, ask: reqwest::RequestBuilder, mut at: Url, redirect: &str) -> Came {
        let mut answer = ask.header("cookie", &self.cookie).send().await.expect("the broker answers");
        for _ in 0..REDIRECTS_MAX {
            let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let Some(location) = location else {
                let status = answer.status();
                return Came::Page { status, text: answer.text().await.unwrap_or_default(), at };
            };
            assert_eq!(answer.status(), StatusCode::SEE_OTHER, "redirects are by 303 (RFC 9700 §4.12)");
            at = at.join(&location).expect("a location");
            if location.starts_with(redirect) {
                return Came::Back(at);
            }
            answer = self.read(at.as_str()).await;
        }
        panic!("redirected in circles");
    }
}

enum Came {
    Back(Url),
    Page { status: StatusCode, text: String, at: Url },
}

/// The value of a hidden field.
fn field(page: &str, name: &str) -> String {
    let marked = format!("name=\"{name}\" value=\"");
    let value = page.split_once(&marked).and_then(|(_, rest)| rest.split_once('"'));
    value.map(|(value, _)| value.to_owned()).unwrap_or_default()
}
