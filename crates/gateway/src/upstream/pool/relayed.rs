//! What a caller's session asks about a system besides calls, over the caller's
//! own connection: who it is, and pages of its lists, raw. Control: acts on
//! nothing.

use bailiwick_model::name::SystemName;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::Pool;
use crate::upstream::{
    CallerKey, Revision, UpstreamError,
    connection::refused,
    control::{Control, ListKind, TaskVerb},
    era::Era,
};

impl Pool {
    /// What the system said when the caller's connection was opened: the result of `initialize` or `server/discover`.
    pub(crate) async fn greeting(
        &self,
        system: &SystemName,
        caller: &CallerKey,
        revision: Revision,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let system = self.inner.system(system)?;
        let live = self.inner.live_for(&system, caller, revision).await?;
        Ok(live.greeting.clone())
    }

    /// One page of a list, as the system wrote it.
    pub(crate) async fn page(
        &self,
        system: &SystemName,
        caller: &CallerKey,
        revision: Revision,
        kind: ListKind,
        cursor: Option<String>,
    ) -> Result<Bytes, UpstreamError> {
        let system = self.inner.system(system)?;
        let live = self.inner.live_for(&system, caller, revision).await?;
        let control = Control::List { kind, cursor };
        let answer = live.connection.control(&control, live.era, None).await?;
        answer.map_err(|error| refused(control.method(), &error))
    }

    /// Passes on what whoever made a call says of it while the server goes on with it: its raw result, or its raw
    /// error.
    pub(crate) async fn task(
        &self,
        system: &SystemName,
        caller: &CallerKey,
        verb: TaskVerb,
        params: Bytes,
    ) -> Result<Result<Bytes, Bytes>, UpstreamError> {
        let system = self.inner.system(system)?;
        let live = self.inner.live_for(&system, caller, Era::Stateless.newest()).await?;
        live.connection.control(&Control::Task { verb, params }, live.era, None).await
    }
}
