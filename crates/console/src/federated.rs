//! Signing in with another provider, as its relying party (OpenID Connect Core §3.1): the authorization code flow with PKCE,
//! `state` and `nonce`, bound to the browser that began it. Works without JavaScript.
//!
//! What is under way is kept in memory by the digest of its `state`: for ten minutes, for one answer, and so many at a time.

mod flows;
mod provider;

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Extension,
    extract::{Path, Query, RawQuery, State},
    response::Response,
};
use bailiwick_engine::{
    identities::{self, External, NotAdmitted},
    sessions::{LIFE_MAX, Opened},
};
use bailiwick_model::{
    authentication::{Authentication, FEDERATED},
    digest::Digest,
    name::Acr,
};
use bailiwick_oauth::{
    foreign_id_token::{IdToken, IdTokenRules},
    form::Form,
};
use bailiwick_web::{address::Peer, entrance::Entrance, session};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;

use self::flows::Flow;
pub(crate) use self::flows::LIVES as FLOW_LIVES;
pub use self::provider::{ClientAuthentication, GroupRules, ProviderRules, Providers};
pub(crate) use self::{
    flows::Flows,
    provider::{Failure, Provider},
};
use crate::{
    consent::see,
    router::Console,
    sign_in::{self, Wish},
    trouble::Trouble,
};

/// Where a sign-in with a provider begins; its name follows.
pub(crate) const PATH: &str = "/sign-in/oidc";
/// Seconds that a browser keeps what binds a sign-in to it.
const COOKIE_S: i64 = 600;

/// Characters of a provider's error that the log keeps.
const ERROR_CHARS_MAX: usize = 80;

/// What the sign-in page shows of a provider.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) title: String,
    pub(crate) url: String,
}

/// The choices for whoever wants to go to a place afterwards.
pub(crate) fn choices(console: &Console, return_to: &str, again: bool) -> Vec<Choice> {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", return_to).finish();
    let again = if again { "&step_up=1" } else { "" };
    let choice = |provider: &Provider| Choice {
        title: provider.rules.title.clone(),
        url: format!("{PATH}/{}?{query}{again}", provider.rules.name),
    };
    console.providers.iter().map(choice).collect()
}

/// `GET /sign-in/oidc/{name}`: sends a browser to the provider.
pub(crate) async fn begin(
    State(console): State<Console>,
    Path(name): Path<String>,
    Query(wish): Query<Wish>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let from = console.slow_down(peer, &headers)?;
    let provider = find(&console, &name)?;
    let broker = console.entrance.broker();
    let return_to = wish.return_to.as_deref().and_then(session::return_to).unwrap_or("/account").to_owned();
    if is_from_elsewhere(&headers) {
        return Ok(see(&session::sign_in_url(&console.entrance, &return_to)));
    }
    let metadata = provider.metadata(broker.now()).await.map_err(Trouble::from)?;
    let browser = browser(&console.entrance, &headers).unwrap_or_else(|| flows::secret(broker));
    let anew = wish.step_up.is_some();
    let (flow, state) = Flow::new(broker, &provider.rules.name, (&browser, anew), return_to, metadata);
    let location = provider.authorization_url(&flow, &state, &redirect_uri(&console.entrance, &name));
    console.flows.keep(Digest::of(state.expose().as_bytes()), &from, flow, broker.now());
    let mut response = see(&location);
    response.headers_mut().append(header::SET_COOKIE, cookie(&console.entrance, browser.expose(), COOKIE_S)?);
    Ok(response)
}

/// `GET /sign-in/oidc/{name}/callback`: somebody comes back.
pub(crate) async fn callback(
    State(console): State<Console>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let mut form = Form::parse(query.unwrap_or_default().as_bytes())?;
    let provider = find(&console, &name)?;
    let broker = console.entrance.broker();
    let state = form.take("state").map(|state| Digest::of(state.as_bytes())).ok_or(Trouble::Stale)?;
    let flow = console.flows.take(&state, broker.now()).ok_or(Trouble::Stale)?;
    // Whoever brings an answer must be the browser that was sent for it, and to this very provider.
    let same = browser(&console.entrance, &headers)
        .is_some_and(|browser| Digest::of(browser.expose().as_bytes()) == flow.browser);
    if !same || flow.provider != provider.rules.name {
        return Err(Trouble::Stale);
    }
    check_issuer(form.take("iss").as_deref(), provider, &flow)?;
    if let Some(error) = form.take("error") {
        let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
        tracing::info!(provider = name, error, "a provider refused a sign-in");
        return Err(Trouble::ProviderRefused);
    }
    let code = form.require("code")?;
    let now = broker.now();
    let token = provider.redeem(broker, &flow, (&code, &redirect_uri(&console.entrance, &name))).await?;
    let keys = provider.keys(&flow).await?;
    let since = u32::try_from(now.duration_since(flow.began_at).as_secs().max(0)).unwrap_or(u32::MAX);
    let rules = IdTokenRules {
        issuer: &provider.rules.issuer,
        client_id: &provider.rules.client_id,
        nonce: flow.nonce.expose(),
        max_age_s: flow.anew.then_some(since),
    };
    let said = IdToken::verify(&token, &keys, &rules, now).map_err(|error| {
        tracing::warn!(provider = name, %error, "an id token was refused");
        Trouble::from(Failure::Unfit)
    })?;
    let opened = admit(&console, provider, &said, now).await?;
    let mut response = sign_in::leads_on(&console, &headers, &opened, &flow.return_to).await?;
    response.headers_mut().append(header::SET_COOKIE, cookie(&console.entrance, "", 0)?);
    Ok(response)
}

/// Whether another site's page sent the browser (Fetch Metadata §2.3): whoever is here chooses for themselves whether to sign
/// in anew, on our page.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

fn find<'c>(console: &'c Console, name: &str) -> Result<&'c Provider, Trouble> {
    console.providers.iter().find(|provider| provider.rules.name == name).ok_or(Trouble::NoProvider)
}

/// The answer is of the provider that was asked (RFC 9207 §2.4): what it says of itself is that one, and it says it if it
/// announced that it would.
fn check_issuer(said: Option<&str>, provider: &Provider, flow: &Flow) -> Result<(), Trouble> {
    let fits = match said {
        Some(issuer) => issuer == provider.rules.issuer,
        None => !flow.metadata.says_issuer,
    };
    if fits {
        return Ok(());
    }
    tracing::warn!(provider = provider.rules.name, "an answer came from another issuer");
    Err(Failure::Unfit.into())
}

/// A session of whoever it is here, which says how well that is proved.
async fn admit(console: &Console, provider: &Provider, said: &IdToken, now: Timestamp) -> Result<Opened, Trouble> {
    let rules = &provider.rules;
    if let Some((claim, _)) = rules.require.iter().find(|(claim, value)| !said.says(claim, value)) {
        tracing::warn!(provider = rules.name, claim, "an account lacks what the operator requires");
        let spoken_of = groups(rules, said).into_keys();
        identities::turn_away(console.entrance.broker(), &rules.issuer, &said.subject, spoken_of).await?;
        return Err(Trouble::NotAdmitted);
    }
    let text = |name: &str| said.text(name).map(str::to_owned);
    let external = External {
        issuer: rules.issuer.clone(),
        subject: said.subject.clone(),
        name: text("name"),
        email: said.verified_email().map(str::to_owned),
        user_name: text("preferred_username"),
        groups: groups(rules, said),
    };
    // A provider that does not say when is taken to mean long ago: no step-up is met by it.
    let long_ago = now.checked_sub(LIFE_MAX).unwrap_or(now);
    let authentication = Authentication {
        at: said.authenticated_at.unwrap_or(long_ago),
        methods: BTreeSet::from([FEDERATED.to_owned()]),
        acr: class(rules, said),
    };
    let opened = identities::sign_in(console.entrance.broker(), external, rules.admission, authentication).await;
    opened.map_err(|refused| {
        let trouble = match refused {
            NotAdmitted::Unknown
            | NotAdmitted::Known
            | NotAdmitted::Administers
            | NotAdmitted::Removed
            | NotAdmitted::Full(_) => Trouble::NotAdmitted,
            NotAdmitted::Stopped => Trouble::Stopped,
            NotAdmitted::Failed(refusal) => return refusal.into(),
        };
        tracing::warn!(provider = rules.name, why = %refused, "an account does not sign anybody in");
        trouble
    })
}

/// The class that the operator gives for what the provider says.
fn class(rules: &ProviderRules, said: &IdToken) -> Option<Acr> {
    let by_class = said.acr.as_ref().and_then(|acr| rules.acr.get(acr));
    by_class.or_else(|| rules.amr.iter().find(|(method, _)| said.says("amr", method)).map(|(_, class)| class)).cloned()
}

/// Whether somebody is in each group about which the provider is believed. One that it does not list they are not in.
fn groups(rules: &ProviderRules, said: &IdToken) -> BTreeMap<String, bool> {
    let mut groups = BTreeMap::new();
    if let Some(GroupRules { claim, map }) = &rules.groups {
        for (theirs, ours) in map {
            *groups.entry(ours.clone()).or_default() |= said.says(claim, theirs);
        }
    }
    groups
}

/// Where a provider sends a browser back to: one place for each, so that no answer of one passes for another's.
fn redirect_uri(entrance: &Entrance, name: &str) -> String {
    format!("{}{PATH}/{name}/callback", entrance.page_origin())
}

/// What binds sign-ins to a browser: `__Host-` where that can be, as for the session.
fn cookie_name(entrance: &Entrance) -> String {
    let origin = entrance.page_origin();
    if origin.starts_with("https://") {
        return "__Host-bailiwick-oidc".to_owned();
    }
    let port = origin.rsplit(':').next().filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    format!("bailiwick-oidc-{}", port.unwrap_or("80"))
}

fn cookie(entrance: &Entrance, value: &str, max_age_s: i64) -> Result<HeaderValue, Trouble> {
    let secure = if entrance.page_origin().starts_with("https://") { "; Secure" } else { "" };
    let name = cookie_name(entrance);
    let line = format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    let mut line = HeaderValue::try_from(line).map_err(|_| Trouble::status(StatusCode::INTERNAL_SERVER_ERROR))?;
    line.set_sensitive(true);
    Ok(line)
}

/// What the browser kept. Two of one name are none.
fn browser(entrance: &Entrance, headers: &HeaderMap) -> Option<bailiwick_model::secret::Secret<String>> {
    let name = cookie_name(entrance);
    let all = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut values = all
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(known, value)| (known == name).then_some(value));
    let value = values.next().filter(|_| values.next().is_none())?;
    let fits = value.len() == flows::SECRET_CHARS
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    fits.then(|| bailiwick_model::secret::Secret::new(value.to_owned()))
}
