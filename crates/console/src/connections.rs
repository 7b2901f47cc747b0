//! `/account/connections`: the user's own accounts at systems that hold their own users. Connected here, by way of the
//! system's own sign-in, and disconnected.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{FromRef, Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use bailiwick_engine::connections::{self, CONNECTIONS_PATH, Place, Returned};
use bailiwick_model::{name::SystemName, secret::Secret};
use bailiwick_oauth::form::{FORM_BYTES_MAX, Form};
use bailiwick_ports::connections::FormPosts;
use bailiwick_web::{
    entrance::Entrance,
    limits::{EXCHANGE_TIME_MAX, Limits},
    session::{FORM_TOKEN, NotSignedIn, SignedIn},
};
use http::{HeaderMap, StatusCode};

use crate::{
    account::{minute, to_prove_lately},
    page::{FormsLead, page_with},
    trouble::Trouble,
};

/// What the pages need.
#[derive(Clone)]
struct Desk {
    entrance: Arc<Entrance>,
    posts: Arc<dyn FormPosts>,
}

impl FromRef<Desk> for Arc<Entrance> {
    fn from_ref(desk: &Desk) -> Self {
        Self::clone(&desk.entrance)
    }
}

/// The pages. `posts` is the way to the authorization servers of systems.
pub fn router(entrance: Arc<Entrance>, posts: Arc<dyn FormPosts>) -> Router {
    let router = Router::new()
        .route(CONNECTIONS_PATH, get(list))
        .route(&format!("{CONNECTIONS_PATH}/connect"), post(connect))
        .route(&format!("{CONNECTIONS_PATH}/end"), post(end))
        .route(&format!("{CONNECTIONS_PATH}/callback/{{system}}"), get(callback))
        .with_state(Desk { entrance, posts });
    Limits { body_bytes_max: FORM_BYTES_MAX, exchange_time_max: Some(EXCHANGE_TIME_MAX), to_its_end: true }
        .around(router)
}

struct Row {
    system: String,
    title: String,
    /// What stands there of the connection, if there is one.
    since: Option<String>,
    scopes: String,
    works: bool,
    offered: bool,
}

impl Row {
    fn of(place: Place) -> Self {
        let Place { system, title, connection, works, offered } = place;
        let scopes = connection.iter().flat_map(|connection| &connection.scopes);
        Self {
            system: system.to_string(),
            title,
            scopes: scopes.map(ToString::to_string).collect::<Vec<_>>().join(", "),
            since: connection.map(|connection| minute(connection.connected_at)),
            works,
            offered,
        }
    }
}

#[derive(Template)]
#[template(path = "connections.html")]
struct ConnectionsPage {
    rows: Vec<Row>,
    form_token: String,
}

/// Somebody who is signed in; everybody else gets a page that says so.
type Known = Result<SignedIn, NotSignedIn>;

/// `GET /account/connections`.
async fn list(State(desk): State<Desk>, known: Known) -> Result<Response, Trouble> {
    let signed_in = known?;
    let places = connections::places(desk.entrance.broker(), signed_in.user()).await?;
    let rows = places.into_iter().map(Row::of).collect();
    let page = ConnectionsPage { rows, form_token: signed_in.form_token().to_owned() };
    Ok(page_with(StatusCode::OK, &page, FormsLead::Elsewhere))
}

/// The system that a form of this session's own page names.
fn posted(desk: &Desk, known: Known, headers: &HeaderMap, body: &[u8]) -> Result<(SignedIn, SystemName), Trouble> {
    let (signed_in, mut form) = (known?, Form::parse(body)?);
    signed_in.check_form(&desk.entrance, headers, form.take(FORM_TOKEN).as_deref())?;
    let system = form.parsed("system", "a system")?.ok_or(Trouble::Stale)?;
    Ok((signed_in, system))
}

/// `POST /account/connections/connect`. Whoever has a cookie alone could put an account of their own into the place of its
/// owner's, so it asks for a fresh proof.
async fn connect(State(desk): State<Desk>, known: Known, headers: HeaderMap, body: Bytes) -> Result<Response, Trouble> {
    let (signed_in, system) = posted(&desk, known, &headers, &body)?;
    if let Some(again) = to_prove_lately(&desk.entrance, &signed_in, CONNECTIONS_PATH) {
        return Ok(again);
    }
    let origin = desk.entrance.page_origin();
    let url = connections::begin(desk.entrance.broker(), &signed_in.session, &system, origin)?;
    Ok(Redirect::to(&url).into_response())
}

/// `GET /account/connections/callback/{system}`: back from the system's authorization server. It is no page to come back to
/// after signing in: another session did not begin it.
async fn callback(
    State(desk): State<Desk>,
    Path(system): Path<String>,
    RawQuery(query): RawQuery,
    known: Known,
) -> Result<Response, Trouble> {
    let signed_in = known.map_err(|not| match not {
        NotSignedIn::Elsewhere(_) => Trouble::Stale,
        not => not.into(),
    })?;
    let system: SystemName = system.parse().map_err(|_| Trouble::Stale)?;
    let mut query = Form::parse(query.unwrap_or_default().as_bytes())?;
    let returned = Returned {
        state: query.take("state"),
        code: query.take("code").map(Secret::new),
        iss: query.take("iss"),
        error: query.take("error"),
    };
    let broker = desk.entrance.broker();
    connections::finish(broker, desk.posts.as_ref(), &signed_in.session, &system, returned).await?;
    Ok(Redirect::to(CONNECTIONS_PATH).into_response())
}

/// `POST /account/connections/end`.
async fn end(State(desk): State<Desk>, known: Known, headers: HeaderMap, body: Bytes) -> Result<Response, Trouble> {
    let (signed_in, system) = posted(&desk, known, &headers, &body)?;
    let by = signed_in.principal();
    connections::end(desk.entrance.broker(), &by, signed_in.user(), &system).await?;
    Ok(Redirect::to(CONNECTIONS_PATH).into_response())
}
