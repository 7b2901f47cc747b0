//! All routes of people's pages.

use std::sync::Arc;

use axum::{
    Router,
    extract::FromRef,
    routing::{get, post},
};
use bailiwick_oauth::form::FORM_BYTES_MAX;
use bailiwick_web::{
    entrance::{Entrance, SETUP_PATH},
    limits::{EXCHANGE_TIME_MAX, Limits},
    session::SIGN_IN_PATH,
};

use crate::{account, assets, ceremonies::Ceremonies, setup, sign_in};

/// What the pages need.
#[derive(Clone)]
pub(crate) struct Console {
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) ceremonies: Arc<Ceremonies>,
}

impl FromRef<Console> for Arc<Entrance> {
    fn from_ref(console: &Console) -> Self {
        Self::clone(&console.entrance)
    }
}

/// The pages.
pub fn router(entrance: Arc<Entrance>) -> Router {
    let ceremonies = Arc::new(Ceremonies::new(entrance.page_origin()));
    let router = Router::new()
        .route(SIGN_IN_PATH, get(sign_in::page).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/account", get(account::page))
        .route("/account/passkeys/new", get(account::new_passkey))
        .route("/account/passkeys", post(account::add_passkey))
        .route("/account/passkeys/remove", post(account::remove_passkey))
        .route("/account/sessions/end", post(account::end_session))
        .route(&format!("{SETUP_PATH}/{{token}}"), get(setup::page).post(setup::add_passkey))
        .route("/assets/console.css", get(assets::style))
        .route("/assets/console.js", get(assets::script))
        .with_state(Console { entrance, ceremonies });
    Limits { body_bytes_max: FORM_BYTES_MAX, exchange_time_max: Some(EXCHANGE_TIME_MAX), to_its_end: true }
        .around(router)
}
