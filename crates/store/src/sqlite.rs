//! The store on SQLite: what each method of [`Store`] sends to the writer or asks a reader.
//!
//! One line per method; the transactions themselves are in the modules below.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use async_trait::async_trait;
use bailiwick_audit_log::leaf::ReplicaId;
use bailiwick_model::{
    agent::Agent,
    bundle::BundleRevision,
    consent_request::{ConsentKey, ConsentRequest, ConsentStatus},
    digest::Digest,
    directory::{DirectoryGroup, ProvisioningToken},
    grant::{Grant, GrantStatus},
    id::{BrowserSessionId, ConsentRequestId, DirectoryGroupId, GrantId, RegistrationTokenId, TaskId, TokenId},
    identity::ExternalAccount,
    jwk::Thumbprint,
    name::{AgentName, SecretName, SystemName, UserId, WorkloadName},
    observation::ObservationScope,
    passkey::{Invitation, Passkey},
    registration::RegistrationToken,
    safe_mode::SafeModeScope,
    session::Session,
    task::Task,
    user::User,
};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    signer::CheckpointSigner,
    store::{
        Conclusion, EndOfGrants, EntryFilter, Intent, IssuedToken, ObservationRow, PublishedBundle, Quarantine,
        SafeModeRow, Spent, State, Store, StoreError, StoredEntry,
    },
    token_rows::{ListedToken, RefreshToken, Rotation, TokenFilter},
};

use jiff::Timestamp;

use self::{
    checkpoint_note::CheckpointNote,
    open::{Identity, OpenError, Options},
    presence::Presence,
    readers::Readers,
    stats::{Counters, Stats},
    writer::Writer,
};

mod agents;
mod bundles;
mod calls;
mod checkpoint_note;
mod connections;
mod consent_requests;
mod directory;
mod evidence;
mod failure;
mod grants;
mod identities;
mod integrate;
pub(crate) mod open;
mod passkeys;
#[cfg(test)]
mod power_cut;
mod presence;
mod readers;
mod registration;
pub(crate) mod restore;
mod rows;
mod safety;
mod sessions;
mod spent;
mod state;
mod statements;
pub(crate) mod stats;
mod tasks;
mod tokens;
mod turn;
mod users;
mod vault;
mod write_ahead;
mod writer;

/// The store in one SQLite database. Cheap to share in an [`Arc`]; dropping it waits for the writer.
pub struct SqliteStore {
    // Fields drop in this order: the last connection to close is the writer's, which tidies the files up.
    readers: Readers,
    writer: Arc<Writer>,
    note: Arc<CheckpointNote>,
    presence: Option<Presence>,
    integrating: tokio::sync::Mutex<()>,
    counters: Arc<Counters>,
    replica: ReplicaId,
}

impl SqliteStore {
    /// Opens or makes the database at `path` and takes it for this process alone.
    /// `:memory:` is a database that ends with the value.
    ///
    /// `identity.replica` names the chain of a new database; an old one keeps its own.
    pub fn open(path: &Path, identity: Identity, options: &Options) -> Result<Self, OpenError> {
        let opened = open::open(path, identity, options)?;
        let counters = Arc::new(Counters::default());
        let replica = opened.identity.replica;
        let writer = Writer::start(opened.connection, opened.identity, options, Arc::clone(&counters), opened.lock)?;
        let writer = Arc::new(writer);
        let readers = Readers::open(opened.path.as_deref(), options, &writer)?;
        let (note, integrating) = (Arc::new(opened.note), tokio::sync::Mutex::new(()));
        let presence = opened.presence;
        Ok(Self { readers, writer, note, presence, integrating, counters, replica })
    }

    /// Whose chain this database holds.
    pub const fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Refuses if the writer has stopped, and stops it if its file is gone.
    fn standing(&self) -> Result<(), StoreError> {
        if let Some(Err(reason)) = self.presence.as_ref().map(Presence::check) {
            self.counters.failed(reason);
        }
        self.counters.standing()
    }

    /// What the store has done since it was opened.
    pub fn stats(&self) -> Stats {
        self.counters.read(self.writer.queued())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self) -> Result<State, StoreError> {
        self.readers.read(state::load).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.standing()?;
        if self.counters.is_troubled() {
            // The last batch found no space: only writing tells whether the next one would.
            self.writer.write(|turn| state::touch(turn)).await?;
        }
        self.readers.read(state::ping).await
    }

    async fn commit_intent(&self, intent: Intent) -> Result<Receipt, StoreError> {
        self.writer.write_unguarded(move |turn| calls::commit_intent(turn, intent)).await
    }

    async fn conclude(&self, conclusion: Conclusion) -> Result<Receipt, StoreError> {
        if conclusion.at_once {
            self.writer.write_unguarded(move |turn| calls::conclude(turn, conclusion)).await
        } else {
            self.writer.write_in_company(move |turn| calls::conclude(turn, conclusion)).await
        }
    }

    async fn append(&self, entry: Entry, spent: Vec<Spent>) -> Result<Receipt, StoreError> {
        self.writer.write_unguarded(move |turn| calls::append(turn, entry, &spent)).await
    }

    async fn use_up(&self, spent: Vec<Spent>) -> Result<(), StoreError> {
        self.writer.write_unguarded(move |turn| calls::spend(turn, &spent)).await
    }

    async fn open_intents(&self) -> Result<Vec<String>, StoreError> {
        let boot = self.writer.boot();
        self.readers.read(move |connection| calls::open_intents(connection, boot)).await
    }

    async fn budget_used(&self, budget: &str, window_start_s: i64) -> Result<u64, StoreError> {
        let budget = budget.to_owned();
        self.readers.read(move |connection| calls::budget_used(connection, &budget, window_start_s)).await
    }

    async fn issue_token(&self, token: IssuedToken, spent: Vec<Spent>, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write_unguarded(move |turn| calls::issue_token(turn, &token, &spent, entry)).await
    }

    async fn token_credential(&self, id: TokenId) -> Result<Option<Thumbprint>, StoreError> {
        self.readers.read(move |connection| calls::token_credential(connection, id)).await
    }

    async fn revoke_token(
        &self,
        id: TokenId,
        until: Timestamp,
        ends: Option<EndOfGrants>,
        entry: Entry,
    ) -> Result<u64, StoreError> {
        self.writer.write(move |turn| grants::revoke_token(turn, (id, until), ends, entry)).await
    }

    async fn tokens(&self, filter: TokenFilter) -> Result<Vec<ListedToken>, StoreError> {
        self.readers.read(move |connection| tokens::listed(connection, &filter)).await
    }

    async fn token(&self, id: TokenId) -> Result<Option<ListedToken>, StoreError> {
        self.readers.read(move |connection| tokens::one(connection, id)).await
    }

    async fn first_refresh_token(&self, token: RefreshToken, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| tokens::first_refresh(turn, &token, entry)).await
    }

    async fn rotate_refresh_token(
        &self,
        rotation: Rotation,
        token: IssuedToken,
        spent: Vec<Spent>,
        entry: Entry,
    ) -> Result<Receipt, StoreError> {
        self.writer.write_unguarded(move |turn| tokens::rotate_refresh(turn, &rotation, &token, &spent, entry)).await
    }

    async fn refresh_token(&self, digest: Digest) -> Result<Option<RefreshToken>, StoreError> {
        self.readers.read(move |connection| tokens::refresh(connection, digest)).await
    }

    async fn give_grant(&self, grant: Grant, spent: Vec<Spent>, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write_unguarded(move |turn| grants::give(turn, &grant, &spent, entry)).await
    }

    async fn end_grants(&self, ids: Vec<GrantId>, ended: GrantStatus, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| grants::end(turn, &ids, &ended, entry)).await
    }

    async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.readers.read(move |connection| grants::one(connection, id)).await
    }

    async fn add_user(&self, user: User, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| users::add(turn, &user, entry)).await
    }

    async fn change_user(&self, user: User, ends: Option<EndOfGrants>, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| users::change(turn, &user, ends, entry)).await
    }

    async fn put_directory_group(
        &self,
        group: DirectoryGroup,
        users: Vec<User>,
        entry: Entry,
    ) -> Result<u64, StoreError> {
        self.writer.write(move |turn| directory::put_group(turn, &group, &users, entry)).await
    }

    async fn remove_directory_group(
        &self,
        id: DirectoryGroupId,
        version: u64,
        users: Vec<User>,
        entry: Entry,
    ) -> Result<u64, StoreError> {
        self.writer.write(move |turn| directory::remove_group(turn, (id, version), &users, entry)).await
    }

    async fn add_provisioning_token(&self, token: ProvisioningToken, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| directory::add_token(turn, &token, entry)).await
    }

    async fn remove_provisioning_token(&self, name: WorkloadName, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| directory::remove_token(turn, &name, entry)).await
    }

    async fn provisioning_token(&self, token: Digest) -> Result<Option<ProvisioningToken>, StoreError> {
        self.readers.read(move |connection| directory::token(connection, token)).await
    }

    async fn provisioning_tokens(&self) -> Result<Vec<ProvisioningToken>, StoreError> {
        self.readers.read(directory::tokens).await
    }

    async fn open_session(&self, session: Session, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| sessions::open(turn, &session, entry)).await
    }

    async fn touch_session(&self, id: BrowserSessionId, idle_ends_at: Timestamp) -> Result<(), StoreError> {
        self.writer.write(move |turn| sessions::touch(turn, id, idle_ends_at)).await
    }

    async fn close_session(&self, id: BrowserSessionId, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| sessions::close(turn, id, entry)).await
    }

    async fn session(&self, token: Digest) -> Result<Option<Session>, StoreError> {
        self.readers.read(move |connection| sessions::of_token(connection, token)).await
    }

    async fn sessions(&self, user: &UserId) -> Result<Vec<Session>, StoreError> {
        let user = user.clone();
        self.readers.read(move |connection| sessions::of_user(connection, &user)).await
    }

    async fn add_identity(
        &self,
        identity: ExternalAccount,
        user: Option<User>,
        entry: Entry,
    ) -> Result<u64, StoreError> {
        self.writer.write(move |turn| identities::add(turn, &identity, user.as_ref(), entry)).await
    }

    async fn remove_identity(
        &self,
        user: &UserId,
        issuer: &str,
        subject: &str,
        ends: Option<EndOfGrants>,
        entry: Entry,
    ) -> Result<u64, StoreError> {
        let (user, issuer, subject) = (user.clone(), issuer.to_owned(), subject.to_owned());
        self.writer.write(move |turn| identities::remove(turn, &user, (&issuer, &subject), ends, entry)).await
    }

    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<ExternalAccount>, StoreError> {
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        self.readers.read(move |connection| identities::one(connection, &issuer, &subject)).await
    }

    async fn identities(&self, user: &UserId) -> Result<Vec<ExternalAccount>, StoreError> {
        let user = user.clone();
        self.readers.read(move |connection| identities::of_user(connection, &user)).await
    }

    async fn invite(&self, invitation: Invitation, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| passkeys::invite(turn, &invitation, entry)).await
    }

    async fn invitation(&self, token: Digest) -> Result<Option<Invitation>, StoreError> {
        self.readers.read(move |connection| passkeys::invitation(connection, token)).await
    }

    async fn add_passkey(&self, passkey: Passkey, link: Option<Digest>, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| passkeys::add(turn, &passkey, link, entry)).await
    }

    async fn use_passkey(&self, seen: Passkey, record: String, at: Timestamp) -> Result<(), StoreError> {
        self.writer.write(move |turn| passkeys::note_use(turn, &seen, &record, at)).await
    }

    async fn remove_passkey(&self, user: UserId, credential: Vec<u8>, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| passkeys::remove(turn, &user, &credential, entry)).await
    }

    async fn passkey(&self, credential: &[u8]) -> Result<Option<Passkey>, StoreError> {
        let credential = credential.to_owned();
        self.readers.read(move |connection| passkeys::one(connection, &credential)).await
    }

    async fn passkeys(&self, user: &UserId) -> Result<Vec<Passkey>, StoreError> {
        let user = user.clone();
        self.readers.read(move |connection| passkeys::of_user(connection, &user)).await
    }

    async fn register_agent(&self, agent: Agent, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| agents::register(turn, &agent, entry)).await
    }

    async fn change_agent(&self, agent: Agent, ends: Option<EndOfGrants>, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| agents::change(turn, &agent, ends, entry)).await
    }

    async fn add_registration_token(&self, token: RegistrationToken, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| registration::add_token(turn, &token, entry)).await
    }

    async fn remove_registration_token(&self, id: RegistrationTokenId, entry: Entry) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| registration::remove_token(turn, id, entry)).await
    }

    async fn registration_token(&self, digest: Digest) -> Result<Option<RegistrationToken>, StoreError> {
        self.readers.read(move |connection| registration::token(connection, digest)).await
    }

    async fn registration_tokens(&self) -> Result<Vec<RegistrationToken>, StoreError> {
        self.readers.read(registration::tokens).await
    }

    async fn register_client(
        &self,
        agent: Agent,
        via: RegistrationTokenId,
        access: Digest,
        entry: Entry,
    ) -> Result<u64, StoreError> {
        self.writer.write(move |turn| registration::register(turn, &agent, (via, access), entry)).await
    }

    async fn managed_client(&self, access: Digest) -> Result<Option<AgentName>, StoreError> {
        self.readers.read(move |connection| registration::managed(connection, access)).await
    }

    async fn rotate_registration_access(
        &self,
        used: Digest,
        next: Digest,
        entry: Entry,
    ) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| registration::rotate(turn, (used, next), entry)).await
    }

    async fn create_task(&self, task: Task, spent: Vec<Spent>, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write_unguarded(move |turn| tasks::create(turn, &task, &spent, entry)).await
    }

    async fn end_task(&self, task: Task, ends: Option<EndOfGrants>, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| tasks::end(turn, &task, ends, entry)).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.readers.read(move |connection| tasks::one(connection, id)).await
    }

    async fn publish_bundle(&self, bundle: PublishedBundle, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| bundles::publish(turn, &bundle, entry)).await
    }

    async fn activate_bundle(&self, revision: BundleRevision, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| bundles::activate(turn, revision, entry)).await
    }

    async fn bundle(&self, revision: BundleRevision) -> Result<Option<PublishedBundle>, StoreError> {
        self.readers.read(move |connection| bundles::one(connection, revision)).await
    }

    async fn bundles(&self) -> Result<Vec<PublishedBundle>, StoreError> {
        self.readers.read(bundles::all).await
    }

    async fn enter_safe_mode(&self, row: SafeModeRow, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| safety::enter_safe_mode(turn, &row, entry)).await
    }

    async fn lift_safe_mode(&self, scope: SafeModeScope, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| safety::lift_safe_mode(turn, &scope, entry)).await
    }

    async fn start_observation(&self, row: ObservationRow, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| safety::start_observation(turn, &row, entry)).await
    }

    async fn end_observation(&self, scope: ObservationScope, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| safety::end_observation(turn, &scope, entry)).await
    }

    async fn observations(&self) -> Result<Vec<ObservationRow>, StoreError> {
        self.readers.read(safety::observations).await
    }

    async fn quarantine(&self, system: SystemName, rows: Vec<Quarantine>, entry: Entry) -> Result<u64, StoreError> {
        self.writer.write(move |turn| safety::quarantine(turn, &system, &rows, entry)).await
    }

    async fn ask_consent(
        &self,
        request: ConsentRequest,
        forget_before: Timestamp,
        spent: Vec<Spent>,
        entry: Entry,
    ) -> Result<Receipt, StoreError> {
        self.writer
            .write_unguarded(move |turn| consent_requests::ask(turn, &request, forget_before, &spent, entry))
            .await
    }

    async fn answer_consent(
        &self,
        id: ConsentRequestId,
        user: UserId,
        status: ConsentStatus,
        entry: Entry,
    ) -> Result<Receipt, StoreError> {
        self.writer.write(move |turn| consent_requests::answer(turn, id, &user, &status, entry)).await
    }

    async fn redeem_consent(
        &self,
        id: ConsentRequestId,
        grant: Grant,
        spent: Vec<Spent>,
        entry: Entry,
    ) -> Result<u64, StoreError> {
        self.writer.write_unguarded(move |turn| consent_requests::redeem(turn, id, &grant, &spent, entry)).await
    }

    async fn consent_request(&self, key: ConsentKey) -> Result<Option<ConsentRequest>, StoreError> {
        self.readers.read(move |connection| consent_requests::one(connection, key)).await
    }

    async fn consent_requests(&self, user: &UserId) -> Result<Vec<ConsentRequest>, StoreError> {
        let user = user.clone();
        self.readers.read(move |connection| consent_requests::of_user(connection, &user)).await
    }

    async fn data_key(&self, subject: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let subject = subject.to_owned();
        self.readers.read(move |connection| vault::data_key(connection, &subject)).await
    }

    async fn keep_data_key(&self, subject: &str, wrapped: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let subject = subject.to_owned();
        self.writer.write(move |turn| vault::keep_data_key(turn, &subject, &wrapped)).await
    }

    async fn put_secret(&self, name: SecretName, ciphertext: Vec<u8>, entry: Entry) -> Result<(), StoreError> {
        self.writer.write(move |turn| vault::put_secret(turn, &name, &ciphertext, entry)).await
    }

    async fn remove_secret(&self, name: SecretName, entry: Entry) -> Result<(), StoreError> {
        self.writer.write(move |turn| vault::remove_secret(turn, &name, entry)).await
    }

    async fn secret(&self, name: &SecretName) -> Result<Option<Vec<u8>>, StoreError> {
        let name = name.clone();
        self.readers.read(move |connection| vault::secret(connection, &name)).await
    }

    async fn secrets(&self) -> Result<BTreeSet<SecretName>, StoreError> {
        self.readers.read(vault::secrets).await
    }

    async fn entries(&self, filter: EntryFilter) -> Result<Vec<StoredEntry>, StoreError> {
        self.readers.read(move |connection| evidence::entries(connection, &filter)).await
    }

    async fn entries_of(&self, event_id: &str) -> Result<Vec<StoredEntry>, StoreError> {
        let event_id = event_id.to_owned();
        self.readers.read(move |connection| evidence::entries_of(connection, &event_id)).await
    }

    async fn integrate(&self, signer: Arc<dyn CheckpointSigner>) -> Result<u64, StoreError> {
        self.standing()?;
        let _alone = self.integrating.lock().await;
        integrate::integrate(&self.readers, &self.writer, &self.note, signer).await
    }

    async fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        self.readers.read(evidence::checkpoint).await
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, StoreError> {
        self.readers.read(evidence::checkpoints).await
    }

    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        let path = path.to_owned();
        self.readers.read(move |connection| evidence::backup(connection, &path)).await
    }
}
