//! `/scim/v2/Groups`: the groups of the directory, which policy knows by their display names.

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
};
use bailiwick_engine::directory::{self, DirectoryRefusal, GroupChange, Membership};
use bailiwick_model::id::DirectoryGroupId;
use bailiwick_scim::{
    error::ScimError,
    group::{GroupAttributes, GroupResource},
    list::ListQuery,
    patch::Patch,
};
use http::{StatusCode, header};
use serde_json::Value;

use super::{Fault, Scim, Shared, TRIES_MAX, admitted, answer, body, condition, resource, until_made};

trait Versioned {
    fn version(&self) -> u64;
}

impl Versioned for Membership {
    fn version(&self) -> u64 {
        self.group.version
    }
}

/// `GET /Groups`.
pub(super) async fn list(State(scim): State<Shared>, message: Request) -> Response {
    let listed = async {
        let (_, parts, _) = admitted(&scim, message).await?;
        let query = ListQuery::parse(parts.uri.query().unwrap_or_default())?;
        Ok::<_, Fault>(answer(StatusCode::OK, &query.page(found(&scim))))
    };
    listed.await.unwrap_or_else(|fault| fault.0)
}

/// All of them.
pub(super) fn found(scim: &Scim) -> impl Iterator<Item = Value> {
    directory::groups(scim.entrance.broker()).into_iter().map(|group| json(scim, &group))
}

/// `POST /Groups`.
pub(super) async fn create(State(scim): State<Shared>, message: Request) -> Response {
    let created = async {
        let (by, parts, raw) = admitted(&scim, message).await?;
        let change = change(GroupAttributes::read(&body(&parts.headers, raw).await?)?)?;
        let group = directory::create_group(scim.entrance.broker(), &by, change).await?;
        Ok::<_, Fault>(resource(StatusCode::CREATED, &json(&scim, &group)))
    };
    created.await.unwrap_or_else(|fault| fault.0)
}

/// `GET /Groups/{id}`.
pub(super) async fn show(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    let shown = async {
        let (_, parts, _) = admitted(&scim, message).await?;
        let group = find(&scim, &id)?;
        if condition(&parts.headers, header::IF_NONE_MATCH, group.group.version) == Some(true) {
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
        let query = ListQuery::parse(parts.uri.query().unwrap_or_default())?;
        Ok::<_, Fault>(resource(StatusCode::OK, &query.trimmed(json(&scim, &group))))
    };
    shown.await.unwrap_or_else(|fault| fault.0)
}

/// `PUT /Groups/{id}`.
pub(super) async fn replace(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    let replaced = async {
        let (by, parts, raw) = admitted(&scim, message).await?;
        let wanted = change(GroupAttributes::read(&body(&parts.headers, raw).await?)?)?;
        let broker = scim.entrance.broker();
        let group = until_made!(&parts.headers, find(&scim, &id), |found| {
            directory::change_group(broker, &by, (found.group.id, found.group.version), wanted.clone()).await
        });
        Ok::<_, Fault>(resource(StatusCode::OK, &json(&scim, &group)))
    };
    replaced.await.unwrap_or_else(|fault| fault.0)
}

/// `PATCH /Groups/{id}`. Answered without the group, which may be large, as the large directories want it.
pub(super) async fn patch(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    let patched = async {
        let (by, parts, raw) = admitted(&scim, message).await?;
        let patch = Patch::read(&body(&parts.headers, raw).await?)?;
        let broker = scim.entrance.broker();
        until_made!(&parts.headers, find(&scim, &id), |found| {
            let mut attributes = attributes(&found);
            patch.apply_to_group(&mut attributes)?;
            directory::change_group(broker, &by, (found.group.id, found.group.version), change(attributes)?).await
        });
        Ok::<_, Fault>(StatusCode::NO_CONTENT.into_response())
    };
    patched.await.unwrap_or_else(|fault| fault.0)
}

/// `DELETE /Groups/{id}`.
pub(super) async fn remove(State(scim): State<Shared>, Path(id): Path<String>, message: Request) -> Response {
    let removed = async {
        let (by, parts, _) = admitted(&scim, message).await?;
        let broker = scim.entrance.broker();
        until_made!(&parts.headers, find(&scim, &id), |found| {
            directory::remove_group(broker, &by, (found.group.id, found.group.version)).await
        });
        Ok::<_, Fault>(StatusCode::NO_CONTENT.into_response())
    };
    removed.await.unwrap_or_else(|fault| fault.0)
}

fn find(scim: &Scim, id: &str) -> Result<Membership, ScimError> {
    let unknown = || ScimError::new(404, "no such group");
    let id: DirectoryGroupId = id.parse().map_err(|_| unknown())?;
    directory::group(scim.entrance.broker(), id).ok_or_else(unknown)
}

fn attributes(found: &Membership) -> GroupAttributes {
    GroupAttributes {
        display_name: found.group.display_name.clone(),
        external_id: found.group.external_id.clone(),
        members: found.members.iter().map(ToString::to_string).collect(),
    }
}

fn change(attributes: GroupAttributes) -> Result<GroupChange, ScimError> {
    let GroupAttributes { display_name, external_id, members } = attributes;
    let unknown = |_| ScimError::value("a member is no user that was provisioned here");
    let members = members.iter().map(|id| id.parse().map_err(unknown)).collect::<Result<_, _>>()?;
    Ok(GroupChange { display_name, external_id, members })
}

fn json(scim: &Scim, found: &Membership) -> Value {
    let resource = GroupResource {
        id: &found.group.id.to_string(),
        attributes: &attributes(found),
        created_at: found.group.created_at,
        version: found.group.version,
    };
    resource.to_json(scim.issuer())
}
