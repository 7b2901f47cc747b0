//! What a browser does with the pages, as far as no script is concerned, and a broker to do it with.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use axum::{Router, body::Body};
use bailiwick_console::federated::Providers;
use bailiwick_engine::{invitations, users};
use bailiwick_model::name::UserId;
use bailiwick_testkit_engine::world::{ISSUER, World, operator};
use bailiwick_web::{
    address::{DeclaredProxies, Peer},
    entrance::Entrance,
};
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt as _;
use url::form_urlencoded;

use crate::device::Device;

/// A broker with one user, Ada, who is an administrator without a passkey.
pub(crate) struct Scene {
    pub(crate) world: World,
    router: Router,
}

pub(crate) fn ada() -> UserId {
    "u-1".parse().unwrap()
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(Providers::default()).await
    }

    /// With providers to sign in with.
    pub(crate) async fn with(providers: Providers) -> Self {
        let world = World::new().await;
        let proxies = DeclaredProxies::default();
        let entrance = Arc::new(Entrance::new(Arc::clone(&world.broker), world.nonces(), proxies).unwrap());
        for id in ["u-1", "u-2"] {
            let (by, id) = (operator(), id.parse().unwrap());
            users::add(&world.broker, &by, id, "Ada <b>", None, BTreeSet::new()).await.unwrap();
        }
        users::set_administrator(&world.broker, &operator(), &ada(), true).await.unwrap();
        Self { router: bailiwick_console::router(entrance, providers), world }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser {
            router: self.router.clone(),
            cookie: None,
            origin: Some(ISSUER.to_owned()),
            at: None,
            says: Vec::new(),
        }
    }

    /// A one-time link for a user, as a path.
    pub(crate) async fn link(&self, user: &UserId) -> String {
        let invited = invitations::invite(&self.world.broker, &operator(), user).await.unwrap();
        format!("/setup/{}", invited.token.expose())
    }

    /// A browser of Ada's that is signed in, and the device that keeps the passkey.
    pub(crate) async fn signed_in(&self) -> (Browser, Device) {
        let (mut browser, mut device) = (self.browser(), Device::new(1));
        let link = self.link(&ada()).await;
        let page = browser.get(&link).await;
        let answer = device.create(&page.options());
        let fields = [("ceremony", &*page.ceremony()), ("credential", &answer), ("name", "Laptop")];
        assert_eq!(browser.post(&link, &fields).await.status, StatusCode::SEE_OTHER);
        assert!(browser.is_signed_in().await);
        (browser, device)
    }
}

/// A browser with its one cookie.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) router: Router,
    pub(crate) cookie: Option<String>,
    pub(crate) origin: Option<String>,
    /// Where it comes from.
    pub(crate) at: Option<IpAddr>,
    /// Headers that it sends besides.
    pub(crate) says: Vec<(&'static str, &'static str)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send(Request::get(path), String::new()).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut message = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(origin) = &self.origin {
            message = message.header(header::ORIGIN, origin);
        }
        self.send(message, body).await
    }

    async fn send(&mut self, mut message: http::request::Builder, body: String) -> Page {
        for (name, value) in &self.says {
            message = message.header(*name, *value);
        }
        if let Some(at) = self.at {
            message = message.extension(Peer((at, 4_711).into()));
        }
        if let Some(cookie) = &self.cookie {
            message = message.header(header::COOKIE, cookie);
        }
        let answer = self.router.clone().oneshot(message.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let text = String::from_utf8(axum::body::to_bytes(body, 1_000_000).await.unwrap().to_vec()).unwrap();
        let page = Page { status: parts.status, headers: parts.headers, text };
        if let Some(set) = page.headers.get(header::SET_COOKIE) {
            self.cookie = set.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        page
    }

    pub(crate) async fn is_signed_in(&mut self) -> bool {
        self.get("/account").await.status == StatusCode::OK
    }

    /// Signs in with a device, and says what came of it.
    pub(crate) async fn sign_in(&mut self, device: &mut Device) -> StatusCode {
        let page = self.get("/sign-in?step_up=1").await;
        let answer = device.get(&page.options());
        self.post("/sign-in", &[("ceremony", &page.ceremony()), ("credential", &answer)]).await.status
    }
}

impl Page {
    fn after<'p>(&'p self, before: &str) -> &'p str {
        let (_, rest) = self.text.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", self.text));
        rest.split('"').next().unwrap()
    }

    pub(crate) fn options(&self) -> Value {
        let text = self.after("data-options=\"").replace("&#34;", "\"").replace("&#60;", "<").replace("&#62;", ">");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn ceremony(&self) -> String {
        self.after("name=\"ceremony\" value=\"").to_owned()
    }

    pub(crate) fn form_token(&self) -> String {
        self.after("name=\"form_token\" value=\"").to_owned()
    }

    pub(crate) fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().unwrap()
    }
}
