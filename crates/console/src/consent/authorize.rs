//! `GET /oauth/authorize` (RFC 6749 §3.1): where a client's request for a user's consent comes in by their browser.
//!
//! An error is shown on a page until client and redirect URI are known to belong together; from then on it goes back to
//! the client. Every redirect is a 303: a browser must not send a form on (RFC 9700 §4.12).

use std::sync::Arc;

use axum::{
    extract::{OriginalUri, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::authorization::{self, Came, Next};
use bailiwick_oauth::{
    authorization_request::{Addressee, AuthorizationQuery, AuthorizationRequest},
    authorization_response::AuthorizationResponse,
};
use bailiwick_web::{entrance::Entrance, session};
use http::{HeaderMap, StatusCode, header};

use super::{
    documents::Documents,
    notice::Notice,
    question::{see, sign_in_anew, visitor, where_asked},
};

pub(crate) async fn authorize(
    State(entrance): State<Arc<Entrance>>,
    State(documents): State<Arc<Documents>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let here = uri.path_and_query().map_or("/", |target| target.as_str());
    // Sessions are kept for one name of this broker alone; a loopback address is another.
    if let Some(elsewhere) = at_pages(&entrance, &headers, here) {
        return see(&elsewhere);
    }
    match next((&entrance, &documents), &headers, uri.query().unwrap_or_default()).await {
        Ok(Next::Answer(location)) => see(&location),
        Ok(Next::Ask(handle)) => see(&where_asked(&entrance, handle.expose())),
        Ok(Next::SignIn(Some(handle))) => see(&sign_in_anew(&entrance, handle.expose())),
        Ok(Next::SignIn(None)) => see(&session::sign_in_url(&entrance, here)),
        Err(stop) => match stop {
            Stop::Back(location) => see(&location),
            Stop::Shown(notice) => notice.into_response(),
        },
    }
}

/// Why a request does not go on.
enum Stop {
    /// Its client is told.
    Back(String),
    /// Whoever sits at the browser is told, and nobody else.
    Shown(Notice),
}

impl<E: Into<Notice>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Shown(error.into())
    }
}

async fn next((entrance, documents): (&Entrance, &Documents), headers: &HeaderMap, query: &str) -> Result<Next, Stop> {
    let broker = entrance.broker();
    let query = AuthorizationQuery::parse(query.as_bytes())?;
    let signed_in = session::find(entrance, headers).await?.map(|signed_in| visitor(&signed_in));
    let is_documented = matches!(query, AuthorizationQuery::Plain(Addressee { document: Some(_), .. }));
    if let AuthorizationQuery::Plain(Addressee { document: Some(url), .. }) = &query {
        // Nobody but a user of ours makes us fetch anything.
        if signed_in.is_none() {
            return Ok(Next::SignIn(None));
        }
        documents.agent(broker, url).await.map_err(Stop::Shown)?;
    }
    let (request, came) = request(entrance, query)?;
    let agent = authorization::client(broker, &request.client, &request.redirect_uri)?;
    // By its name it would come past its document.
    if agent.documented_by().is_some() != is_documented {
        return Err(Stop::Shown(Notice::new(StatusCode::BAD_REQUEST, "this application is known by another address")));
    }
    if let Err(refused) = authorization::wanted(broker, &agent, &request) {
        return Err(Stop::Back(authorization::error(broker, &request, refused)?));
    }
    Ok(authorization::arrive(broker, request, came, signed_in.as_ref()).await?)
}

fn request(entrance: &Entrance, query: AuthorizationQuery) -> Result<(AuthorizationRequest, Came), Stop> {
    let broker = entrance.broker();
    match query {
        AuthorizationQuery::Pushed { client, request_uri } => {
            let pushed = authorization::pushed(broker, &client, &request_uri).ok_or_else(|| {
                let title = "this request was used already, or its time is over";
                Stop::Shown(Notice::new(StatusCode::BAD_REQUEST, title).with_hint("start again from the application"))
            })?;
            Ok((pushed, Came::Pushed))
        }
        AuthorizationQuery::Plain(addressee) => {
            authorization::client(broker, &addressee.client, &addressee.redirect_uri)?;
            let (redirect_uri, state) = (addressee.redirect_uri.clone(), addressee.state.clone());
            match addressee.read() {
                Ok(request) => Ok((request, Came::Plain)),
                Err(error) => {
                    let refused = AuthorizationResponse::Error(error);
                    let location = authorization::answer(broker, &redirect_uri, state.as_deref(), &refused)?;
                    Err(Stop::Back(location))
                }
            }
        }
    }
}

/// The same place under the name that people's pages have, if it was opened under another.
fn at_pages(entrance: &Entrance, headers: &HeaderMap, here: &str) -> Option<String> {
    let pages = entrance.page_origin();
    let (_, authority) = pages.split_once("://")?;
    let host = headers.get(header::HOST)?.to_str().ok()?;
    (!host.eq_ignore_ascii_case(authority)).then(|| format!("{pages}{here}"))
}
