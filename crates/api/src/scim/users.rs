//! `/scim/v2/Users`: whom the directory knows. Users of this broker alone are not among them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::directory::{self, DirectoryRefusal, Profile};
use bailiwick_model::{
    directory::{DirectoryEntry, is_reserved},
    name::UserId,
    user::User,
};
use bailiwick_scim::{
    error::ScimError,
    list::ListQuery,
    patch::Patch,
    user::{UserAttributes, UserResource},
};
use http::{StatusCode, header};
use serde_json::Value;

use super::{Fault, Scim, Shared, TRIES_MAX, admitted, answer, body, condition, resource, until_made};

trait Versioned {
    fn version(&self) -> u64;
}

impl Versioned for Arc<User> {
    fn version(&self) -> u64 {
        self.version
    }
}

/// `GET /Users`.
pub(super) async fn list(State(scim): State<Shared>, message: Request) -> Response {
    let listed = async {
        let (_, parts, _) = admitted(&scim, message).await?;
        let query = ListQuery::parse(parts.uri.query().unwrap_or_default())?;
        Ok::<_, Fault>(answer(StatusCode::OK, &query.page(found(&scim, &query))))
    };
    listed.await.unwrap_or_else(|fault| fault.0)
}

/// Those whom a question could mean; what it says beyond a name is looked at one by one.
pub(super) fn found<'a>(scim: &'a Scim, query: &'a ListQuery) -> impl Iterator<Item = Value> + 'a {
    let groups = groups(scim);
    let sole = |attribute| query.filter.as_ref().and_then(|filter| filter.sole_equality(attribute));
    // What a directory asks most: whether it knows somebody already.
    let (name, external) = (sole("username").map(str::to_lowercase), sole("externalid"));
    let is = |wanted: &str, of: Option<&str>| of == Some(wanted);
    directory::users(scim.entrance.broker())
        .into_iter()
        .filter(move |user| {
            let entry = user.provisioned();
            name.as_deref().is_none_or(|name| is(name, entry.map(|entry| entry.user_name.to_lowercase()).as_deref()))
                && external.is_none_or(|id| is(id, entry.and_then(|entry| entry.external_id.as_deref())))
        })
        .map(move |user| json(scim, &user, &groups))
}

/// `POST /Users`.
pub(super) async fn create(State(scim): State<Shared>, message: Request) -> Response {
    let created = async {
        let (by, parts, raw) = admitted(&scim, message).await?;
        let attributes = UserAttributes::read(&body(&parts.headers, raw).await?)?;
        let active = attributes.active.unwrap_or(true);
        let user = directory::create_user(scim.entrance.broker(), &by, profile(attributes, active)).await?;
        Ok::<_, Fault>(resource(StatusCode::CREATED, &json(&scim, &user, &groups(&scim))))
    };
    created.await.unwrap_or_else(|fault| fault.0)
}

/// `GET /Users/{id}`.
pub(super) async fn show(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    let shown = async {
        let (_, parts, _) = admitted(&scim, message).await?;
        let (_, user) = find(&scim, &id)?;
        if condition(&parts.headers, header::IF_NONE_MATCH, user.version) == Some(true) {
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
        let query = ListQuery::parse(parts.uri.query().unwrap_or_default())?;
        Ok::<_, Fault>(resource(StatusCode::OK, &query.trimmed(json(&scim, &user, &groups(&scim)))))
    };
    shown.await.unwrap_or_else(|fault| fault.0)
}

/// `PUT /Users/{id}`. What it does not say of `active` stays as it is: who was stopped is not let go on by silence.
pub(super) async fn replace(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    let replaced = async {
        let (by, parts, raw) = admitted(&scim, message).await?;
        let wanted = UserAttributes::read(&body(&parts.headers, raw).await?)?;
        let broker = scim.entrance.broker();
        let user = until_made!(&parts.headers, find(&scim, &id).map(|(_, user)| user), |found| {
            let active = wanted.active.unwrap_or_else(|| found.provisioned().is_some_and(|entry| entry.active));
            directory::change_user(broker, &by, (&found.id, found.version), profile(wanted.clone(), active)).await
        });
        Ok::<_, Fault>(resource(StatusCode::OK, &json(&scim, &user, &groups(&scim))))
    };
    replaced.await.unwrap_or_else(|fault| fault.0)
}

/// `PATCH /Users/{id}`.
pub(super) async fn patch(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    let patched = async {
        let (by, parts, raw) = admitted(&scim, message).await?;
        let patch = Patch::read(&body(&parts.headers, raw).await?)?;
        let broker = scim.entrance.broker();
        let user = until_made!(&parts.headers, find(&scim, &id).map(|(_, user)| user), |found| {
            let mut attributes = attributes(&found);
            patch.apply_to_user(&mut attributes)?;
            let active = attributes.active.unwrap_or(false);
            directory::change_user(broker, &by, (&found.id, found.version), profile(attributes, active)).await
        });
        Ok::<_, Fault>(resource(StatusCode::OK, &json(&scim, &user, &groups(&scim))))
    };
    patched.await.unwrap_or_else(|fault| fault.0)
}

/// `DELETE /Users/{id}`.
pub(super) async fn remove(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    let removed = async {
        let (by, parts, _) = admitted(&scim, message).await?;
        let broker = scim.entrance.broker();
        until_made!(&parts.headers, find(&scim, &id).map(|(_, user)| user), |found| {
            directory::remove_user(broker, &by, (&found.id, found.version)).await
        });
        Ok::<_, Fault>(StatusCode::NO_CONTENT.into_response())
    };
    removed.await.unwrap_or_else(|fault| fault.0)
}

fn find(scim: &Scim, id: &str) -> Result<(UserId, Arc<User>), ScimError> {
    let unknown = || ScimError::new(404, "no such user");
    let id: UserId = id.parse().map_err(|_| unknown())?;
    let user = directory::user(scim.entrance.broker(), &id).ok_or_else(unknown)?;
    Ok((id, user))
}

/// The ids of the directory's groups, by their names.
fn groups(scim: &Scim) -> BTreeMap<String, String> {
    let live = scim.entrance.broker().live();
    live.directory_groups.values().map(|group| (group.display_name.clone(), group.id.to_string())).collect()
}

/// A user as the directory said it.
fn attributes(user: &User) -> UserAttributes {
    let mut attributes = UserAttributes { email: user.email.clone(), ..UserAttributes::default() };
    if let Some(entry) = user.provisioned() {
        let DirectoryEntry {
            user_name,
            external_id,
            given_name,
            family_name,
            display_name,
            formatted_name,
            email_type,
            email_primary,
            active,
        } = entry;
        attributes.email_primary = *email_primary;
        attributes.display_name.clone_from(display_name);
        attributes.formatted_name.clone_from(formatted_name);
        attributes.email_type.clone_from(email_type);
        attributes.user_name.clone_from(user_name);
        attributes.external_id.clone_from(external_id);
        attributes.given_name.clone_from(given_name);
        attributes.family_name.clone_from(family_name);
        attributes.active = Some(*active);
    }
    // One of before it was kept what a directory calls whom.
    if attributes.name() != user.name {
        attributes.display_name = Some(user.name.clone());
    }
    attributes
}

fn profile(attributes: UserAttributes, active: bool) -> Profile {
    let name = attributes.name();
    let UserAttributes {
        user_name,
        external_id,
        given_name,
        family_name,
        email,
        display_name,
        formatted_name,
        email_type,
        email_primary,
        active: _,
    } = attributes;
    let entry = DirectoryEntry {
        user_name,
        external_id,
        given_name,
        family_name,
        display_name,
        formatted_name,
        email_type,
        email_primary,
        active,
    };
    Profile { name, email, entry }
}

fn json(scim: &Scim, user: &User, groups: &BTreeMap<String, String>) -> Value {
    let of_directory = user.groups.iter().filter(|name| !is_reserved(name));
    let resource = UserResource {
        id: user.id.as_str(),
        attributes: &attributes(user),
        active: user.standing().is_ok(),
        groups: of_directory.filter_map(|name| Some((groups.get(name)?.clone(), name.clone()))).collect(),
        created_at: user.created_at,
        version: user.version,
    };
    resource.to_json(scim.issuer())
}
