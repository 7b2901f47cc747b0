//! The store: one method per use case, each one transaction, each durable
//! (`synchronous=FULL` or its like) when it returns.
//!
//! A state change and its evidence are one transaction. A method that returns
//! an error has changed nothing.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use bailiwick_model::{
    agent::Agent,
    bundle::{BundleFiles, BundleRevision},
    confirmation::Confirmation,
    consent_request::{ConsentKey, ConsentRequest, ConsentStatus},
    decision::BudgetDraw,
    digest::Digest,
    directory::{DirectoryGroup, ProvisioningToken},
    grant::{Grant, GrantStatus},
    id::{BrowserSessionId, ConsentRequestId, DirectoryGroupId, GrantId, RegistrationTokenId, TaskId, TokenId},
    identity::ExternalAccount,
    jwk::Thumbprint,
    name::{AgentName, Fact, SecretName, SystemName, ToolName, UserId, WorkloadName},
    observation::{Observation, ObservationScope, WouldBe},
    passkey::{Invitation, Passkey},
    principal::Principal,
    registration::RegistrationToken,
    safe_mode::SafeModeScope,
    session::Session,
    task::Task,
    user::User,
};
use jiff::Timestamp;

use crate::{
    connections::Connections,
    entry::{Entry, Receipt},
    token_rows::{ListedToken, RefreshToken, Rotation, TokenFilter},
};

/// The store refused or failed; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space, no disk, an I/O error, a full queue: nothing can be recorded now.
    #[error("the store cannot record: {0}")]
    Unavailable(String),
    /// A row that cannot be a domain value: it denies, it never defaults.
    #[error("inconsistent row: table `{table}`, column `{column}`, key `{key}`")]
    Inconsistent {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Primary key as text.
        key: String,
    },
    /// Somebody changed it first: read again.
    #[error("`{0}` was changed meanwhile")]
    Conflict(String),
    /// It exists already.
    #[error("`{0}` exists already")]
    Exists(String),
    /// It does not exist.
    #[error("`{0}` does not exist")]
    Missing(String),
    /// A proof or assertion identifier was used before.
    #[error("a proof or assertion was used before")]
    Replayed,
    /// A budget is used up.
    #[error("budget `{budget}` is used up until {until_s}")]
    BudgetUsedUp {
        /// Which.
        budget: String,
        /// End of its window, in seconds since 1970.
        until_s: i64,
    },
}

/// A one-time identifier to be used up: a DPoP proof's or a client assertion's `jti`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spent {
    /// Whose: `dpop:<thumbprint>` or `assertion:<client>`.
    pub scope: String,
    /// The `jti`, by its digest so that its length is bounded.
    pub jti: Digest,
    /// From when on it may be forgotten: the proof itself is refused as too old by then.
    pub forget_at: Timestamp,
}

/// An intent to forward, with all that its commit settles. All or nothing.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Its evidence.
    pub entry: Entry,
    /// Identifiers to use up: any that was used makes [`StoreError::Replayed`].
    pub spent: Vec<Spent>,
    /// Budgets to draw on: any that would overrun makes [`StoreError::BudgetUsedUp`].
    pub budgets: Vec<BudgetDraw>,
    /// Facts that restrict, added with the intent.
    pub facts: Vec<FactRow>,
    /// The observations that cover it, which count it: any that is not on at that time makes [`StoreError::Conflict`].
    pub observed: BTreeMap<ObservationScope, WouldBe>,
    /// All whose change since the decision makes [`StoreError::Conflict`].
    pub relied_on: ReliedOn,
}

/// A fact to keep for its window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactRow {
    /// Who started the work: the initiating principal.
    pub initiating: Principal,
    /// What came to be known or done.
    pub fact: Fact,
    /// The end of its window.
    pub until: Timestamp,
}

/// What a decision relied on, so that a lost race denies instead of slipping through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReliedOn {
    /// Agents by the version that was seen.
    pub agents: BTreeMap<AgentName, u64>,
    /// Users by the version that was seen.
    pub users: BTreeMap<UserId, u64>,
    /// The token that the call was made with, which must not be revoked.
    pub token: Option<TokenId>,
    /// The grant that the token was issued from, which must be active. Whatever ends one that it comes from ends it too, in
    /// the same transaction.
    pub grant: Option<GrantId>,
    /// The task, which must still be open.
    pub task: Option<TaskId>,
    /// The number of facts that were seen for the initiating principal.
    pub facts: Option<(Principal, u64)>,
    /// The epoch of safe modes and bundle that was seen.
    pub epoch: u64,
}

/// Grants that end together with what they stood on: one transaction, so that no crash leaves one without the other.
/// Those that have ended already stay as they are.
#[derive(Debug, Clone)]
pub struct EndOfGrants {
    /// Which.
    pub ids: Vec<GrantId>,
    /// How they end.
    pub ended: GrantStatus,
    /// Its own evidence, placed after that of the change.
    pub entry: Entry,
}

/// An outcome and what it settles.
#[derive(Debug, Clone)]
pub struct Conclusion {
    /// Its evidence, concluding an intent.
    pub entry: Entry,
    /// Facts that rules wait for.
    pub facts: Vec<FactRow>,
    /// Whether somebody waits for it. What nobody waits for becomes durable a few milliseconds later, together with
    /// what somebody does wait for.
    pub at_once: bool,
}

/// An issued access token, by its identifiers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// Its `jti`.
    pub id: TokenId,
    /// Its client.
    pub client: AgentName,
    /// What it is for: its one `aud`.
    pub audience: String,
    /// The grant that it was issued from; `None` is its client acting for itself.
    pub grant: Option<GrantId>,
    /// The task it is bound to.
    pub task: Option<TaskId>,
    /// The key it is bound to.
    pub confirmation: Option<Confirmation>,
    /// The credential that authenticated the client, whose last use is noted.
    pub credential: Thumbprint,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A published bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedBundle {
    /// Its revision.
    pub revision: BundleRevision,
    /// Its files.
    pub files: BundleFiles,
    /// Digest of its boundary policies.
    pub boundary: Digest,
    /// Signature of the issuer over the text `bailiwick-boundary-v1 <boundary> <revision>`.
    pub boundary_signature: Vec<u8>,
    /// When it was first published.
    pub published_at: Timestamp,
    /// By whom.
    pub published_by: String,
}

/// A safe mode that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeModeRow {
    /// What is in safe mode.
    pub scope: SafeModeScope,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// An observation that was turned on, until its end passes or somebody stops it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservationRow {
    /// What is observed.
    pub observation: Observation,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// From when on it is enforced again.
    pub until: Timestamp,
    /// The calls that went through, by what policy alone decides about them.
    pub calls: ObservedCalls,
}

/// Calls that were forwarded under an observation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObservedCalls {
    /// Policy allows them too.
    pub would_allow: u64,
    /// Policy would have had somebody asked.
    pub would_ask: u64,
    /// Policy would have denied them.
    pub would_deny: u64,
}

/// A tool whose definition was seen to differ from the pinned one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Its system.
    pub system: SystemName,
    /// Its name.
    pub tool: ToolName,
    /// The digest that the bundle pins; `None` if the tool is new.
    pub pinned: Option<Digest>,
    /// The digest that was seen; `None` if the tool is gone.
    pub seen: Option<Digest>,
    /// The whole definition that was seen, as JSON text.
    pub definition: String,
    /// When it was first seen.
    pub since: Timestamp,
}

/// Everything that the in-memory state is built from.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Rises with every change of agents, tasks, safe modes, bundle.
    pub epoch: u64,
    /// All agents, retired ones included.
    pub agents: Vec<Agent>,
    /// Tasks that are open and not past their end.
    pub tasks: Vec<Task>,
    /// All users, those who left included.
    pub users: Vec<User>,
    /// Groups of the directory.
    pub directory_groups: Vec<DirectoryGroup>,
    /// Grants that are active and not past their end.
    pub grants: Vec<Grant>,
    /// Access tokens that were revoked before their end, with that end.
    pub revoked: Vec<(TokenId, Timestamp)>,
    /// Safe modes that are on.
    pub safe_modes: Vec<SafeModeRow>,
    /// Observations that nobody stopped; one whose end has passed is not on.
    pub observations: Vec<ObservationRow>,
    /// The time of the newest evidence: a clock that shows less went backwards.
    pub latest: Option<Timestamp>,
    /// The active bundle.
    pub bundle: Option<PublishedBundle>,
    /// Live facts.
    pub facts: Vec<FactRow>,
    /// Tools in quarantine.
    pub quarantined: Vec<Quarantine>,
}

/// A leaf with its sealed part, as `audit` commands read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its number within its replica's chain.
    pub sequence: u64,
    /// Its index in the Merkle log, once integrated.
    pub index: Option<u64>,
    /// The leaf's canonical bytes.
    pub leaf: Vec<u8>,
    /// Its sealed values.
    pub sealed: Option<crate::entry::Sealed>,
}

/// Which entries to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Entries after this sequence number.
    pub after: Option<u64>,
    /// Only those of this current actor.
    pub agent: Option<AgentName>,
    /// Only those of this system.
    pub system: Option<SystemName>,
    /// Only those of this kind (the text inside the leaf).
    pub kind: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Newest first instead of oldest first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
}

/// The durable state and the evidence.
#[async_trait]
pub trait Store: Connections + Send + Sync {
    // ---- state -------------------------------------------------------------
    /// Reads everything that the in-memory state is built from.
    async fn load(&self) -> Result<State, StoreError>;
    /// A cheap read that fails when the store is out of reach.
    async fn ping(&self) -> Result<(), StoreError>;

    // ---- calls -------------------------------------------------------------
    /// Makes an intent durable and settles what it relies on.
    async fn commit_intent(&self, intent: Intent) -> Result<Receipt, StoreError>;
    /// Records what came of an intent; durable when this returns, [at once](Conclusion::at_once) or a little later.
    async fn conclude(&self, conclusion: Conclusion) -> Result<Receipt, StoreError>;
    /// Records an event that changes no state, using up identifiers in the same transaction.
    async fn append(&self, entry: Entry, spent: Vec<Spent>) -> Result<Receipt, StoreError>;
    /// Uses identifiers up without evidence, all or none.
    async fn use_up(&self, spent: Vec<Spent>) -> Result<(), StoreError>;
    /// Intents of earlier boots of this replica that have no outcome: their ids.
    async fn open_intents(&self) -> Result<Vec<String>, StoreError>;
    /// How much of a budget's window is used.
    async fn budget_used(&self, budget: &str, window_start_s: i64) -> Result<u64, StoreError>;

    // ---- tokens ------------------------------------------------------------
    /// Records an issued token, uses up its assertion and proof, notes the credential's last use.
    async fn issue_token(&self, token: IssuedToken, spent: Vec<Spent>, entry: Entry) -> Result<Receipt, StoreError>;
    /// The credential that an unexpired token was issued on; `None` where no such token is known.
    async fn token_credential(&self, id: TokenId) -> Result<Option<Thumbprint>, StoreError>;
    /// Revokes one access token, which would end at `until`. Returns the new epoch.
    async fn revoke_token(
        &self,
        id: TokenId,
        until: Timestamp,
        ends: Option<EndOfGrants>,
        entry: Entry,
    ) -> Result<u64, StoreError>;

    /// Access tokens as they are listed.
    async fn tokens(&self, filter: TokenFilter) -> Result<Vec<ListedToken>, StoreError>;
    /// One access token, expired or not.
    async fn token(&self, id: TokenId) -> Result<Option<ListedToken>, StoreError>;
    /// Keeps the first refresh token of an active grant; a second one is [`StoreError::Exists`].
    async fn first_refresh_token(&self, token: RefreshToken, entry: Entry) -> Result<Receipt, StoreError>;
    /// Uses a refresh token up, keeps the next, and issues an access token as [`Self::issue_token`] does. One that was
    /// used up before is [`StoreError::Conflict`] with its digest; an ended grant is [`StoreError::Missing`].
    async fn rotate_refresh_token(
        &self,
        rotation: Rotation,
        token: IssuedToken,
        spent: Vec<Spent>,
        entry: Entry,
    ) -> Result<Receipt, StoreError>;
    /// A refresh token by its digest, used up or not.
    async fn refresh_token(&self, digest: Digest) -> Result<Option<RefreshToken>, StoreError>;

    // ---- grants ------------------------------------------------------------
    /// Adds a grant, using up what authorized it. Returns the new epoch.
    async fn give_grant(&self, grant: Grant, spent: Vec<Spent>, entry: Entry) -> Result<u64, StoreError>;
    /// Ends those of the grants that are still active; if none is, the first says why. Returns the new epoch.
    async fn end_grants(&self, ids: Vec<GrantId>, ended: GrantStatus, entry: Entry) -> Result<u64, StoreError>;
    /// One grant, active or ended.
    async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError>;

    // ---- users -------------------------------------------------------------
    /// Adds a user; an id that was ever used is [`StoreError::Exists`]. Returns the new epoch.
    async fn add_user(&self, user: User, entry: Entry) -> Result<u64, StoreError>;
    /// Replaces a user whose stored version is `user.version - 1`; the sessions of one who is no longer active end with
    /// it. Returns the new epoch.
    async fn change_user(&self, user: User, ends: Option<EndOfGrants>, entry: Entry) -> Result<u64, StoreError>;

    // ---- directory ---------------------------------------------------------
    /// Makes a group (version 1) or replaces the one of the version before, and changes `users` as
    /// [`Self::change_user`] does, all or none. Returns the new epoch.
    async fn put_directory_group(
        &self,
        group: DirectoryGroup,
        users: Vec<User>,
        entry: Entry,
    ) -> Result<u64, StoreError>;
    /// Removes a group of a version, and changes `users` with it. Returns the new epoch.
    async fn remove_directory_group(
        &self,
        id: DirectoryGroupId,
        version: u64,
        users: Vec<User>,
        entry: Entry,
    ) -> Result<u64, StoreError>;
    /// Keeps a credential of a directory; a name that is there is [`StoreError::Exists`].
    async fn add_provisioning_token(&self, token: ProvisioningToken, entry: Entry) -> Result<Receipt, StoreError>;
    /// Removes one.
    async fn remove_provisioning_token(&self, name: WorkloadName, entry: Entry) -> Result<Receipt, StoreError>;
    /// The one with this digest; it may be over.
    async fn provisioning_token(&self, token: Digest) -> Result<Option<ProvisioningToken>, StoreError>;
    /// All of them, by name.
    async fn provisioning_tokens(&self) -> Result<Vec<ProvisioningToken>, StoreError>;

    // ---- sessions ----------------------------------------------------------
    /// Opens a session; a user who is not active makes [`StoreError::Conflict`].
    async fn open_session(&self, session: Session, entry: Entry) -> Result<Receipt, StoreError>;
    /// Moves the end of a session that is idle, if it is still there.
    async fn touch_session(&self, id: BrowserSessionId, idle_ends_at: Timestamp) -> Result<(), StoreError>;
    /// Ends one session.
    async fn close_session(&self, id: BrowserSessionId, entry: Entry) -> Result<Receipt, StoreError>;
    /// The session whose token has this digest; it may be over.
    async fn session(&self, token: Digest) -> Result<Option<Session>, StoreError>;
    /// The sessions of a user, newest first; some may be over.
    async fn sessions(&self, user: &UserId) -> Result<Vec<Session>, StoreError>;

    // ---- accounts of providers ---------------------------------------------
    /// Lets an account sign a user in, whom it makes known if `user` is there; an account that is somebody's is
    /// [`StoreError::Exists`], unless they left or it was taken away, and an operator says so. Returns the new epoch. Those that only a match led to
    /// end once their user administers.
    async fn add_identity(
        &self,
        identity: ExternalAccount,
        user: Option<User>,
        entry: Entry,
    ) -> Result<u64, StoreError>;
    /// Takes an account away from a user, whose sessions, connections and requests for consent end with it, and `ends`
    /// as well; one that is not theirs is [`StoreError::Missing`]. Returns the new epoch. It
    /// stays as [`LinkedBy::Removed`](bailiwick_model::identity::LinkedBy::Removed) until an operator adds it again.
    async fn remove_identity(
        &self,
        user: &UserId,
        issuer: &str,
        subject: &str,
        ends: Option<EndOfGrants>,
        entry: Entry,
    ) -> Result<u64, StoreError>;
    /// One account.
    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<ExternalAccount>, StoreError>;
    /// The accounts of a user, oldest first.
    async fn identities(&self, user: &UserId) -> Result<Vec<ExternalAccount>, StoreError>;

    // ---- passkeys ----------------------------------------------------------
    /// Keeps a one-time link of an active user, in the place of the one before.
    async fn invite(&self, invitation: Invitation, entry: Entry) -> Result<Receipt, StoreError>;
    /// The link whose token has this digest; it may be over.
    async fn invitation(&self, token: Digest) -> Result<Option<Invitation>, StoreError>;
    /// Adds a passkey of an active user. A link that allowed it is used up; one that was before, or is over, makes
    /// [`StoreError::Replayed`], and one passkey too many [`StoreError::Conflict`].
    async fn add_passkey(&self, passkey: Passkey, link: Option<Digest>, entry: Entry) -> Result<Receipt, StoreError>;
    /// Notes a use of a passkey, from the record that was seen.
    async fn use_passkey(&self, seen: Passkey, record: String, at: Timestamp) -> Result<(), StoreError>;
    /// Removes a passkey of a user; the last one makes [`StoreError::Conflict`].
    async fn remove_passkey(&self, user: UserId, credential: Vec<u8>, entry: Entry) -> Result<Receipt, StoreError>;
    /// The passkey with this credential id.
    async fn passkey(&self, credential: &[u8]) -> Result<Option<Passkey>, StoreError>;
    /// The passkeys of a user, oldest first.
    async fn passkeys(&self, user: &UserId) -> Result<Vec<Passkey>, StoreError>;

    // ---- agents ------------------------------------------------------------
    /// Adds an agent; a name that was ever used is [`StoreError::Exists`].
    async fn register_agent(&self, agent: Agent, entry: Entry) -> Result<u64, StoreError>;
    /// Replaces an agent whose stored version is `agent.version - 1`; the open tasks of one that retired end with it, and what
    /// it asks users for if it is not active or `ends` is there, with no grants even. Returns the new epoch.
    async fn change_agent(&self, agent: Agent, ends: Option<EndOfGrants>, entry: Entry) -> Result<u64, StoreError>;

    // ---- registration ------------------------------------------------------
    /// Keeps an initial access token.
    async fn add_registration_token(&self, token: RegistrationToken, entry: Entry) -> Result<Receipt, StoreError>;
    /// Removes one; who registered by it stays.
    async fn remove_registration_token(&self, id: RegistrationTokenId, entry: Entry) -> Result<Receipt, StoreError>;
    /// The one with this digest; it may be used up or over.
    async fn registration_token(&self, digest: Digest) -> Result<Option<RegistrationToken>, StoreError>;
    /// All of them, oldest first.
    async fn registration_tokens(&self) -> Result<Vec<RegistrationToken>, StoreError>;
    /// Adds an agent as [`Self::register_agent`] does, by one use of an initial access token; one without a use left is
    /// [`StoreError::Missing`]. `access` is the digest of what manages the registration.
    async fn register_client(
        &self,
        agent: Agent,
        via: RegistrationTokenId,
        access: Digest,
        entry: Entry,
    ) -> Result<u64, StoreError>;
    /// Whose registration the token with this digest manages; none of a retired agent.
    async fn managed_client(&self, access: Digest) -> Result<Option<AgentName>, StoreError>;
    /// Puts one such token into the place of another; one that was used before is [`StoreError::Missing`].
    async fn rotate_registration_access(&self, used: Digest, next: Digest, entry: Entry)
    -> Result<Receipt, StoreError>;

    // ---- tasks -------------------------------------------------------------
    /// Adds a task with its sealed prompt in `entry`, using up what authorized it. Returns the new epoch.
    async fn create_task(&self, task: Task, spent: Vec<Spent>, entry: Entry) -> Result<u64, StoreError>;
    /// Ends an open task. Returns the new epoch.
    async fn end_task(&self, task: Task, ends: Option<EndOfGrants>, entry: Entry) -> Result<u64, StoreError>;
    /// One task, open or ended.
    async fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError>;

    // ---- policy ------------------------------------------------------------
    /// Keeps a bundle and makes it the active one. Of one that is kept already, the signature becomes this one. Returns the
    /// new epoch.
    async fn publish_bundle(&self, bundle: PublishedBundle, entry: Entry) -> Result<u64, StoreError>;
    /// Makes an earlier bundle the active one again. Returns the new epoch.
    async fn activate_bundle(&self, revision: BundleRevision, entry: Entry) -> Result<u64, StoreError>;
    /// One published bundle.
    async fn bundle(&self, revision: BundleRevision) -> Result<Option<PublishedBundle>, StoreError>;
    /// All published revisions, newest first, without their files (`files` is empty).
    async fn bundles(&self) -> Result<Vec<PublishedBundle>, StoreError>;

    // ---- safe mode and definitions -----------------------------------------
    /// Turns a safe mode on. Returns the new epoch.
    async fn enter_safe_mode(&self, row: SafeModeRow, entry: Entry) -> Result<u64, StoreError>;
    /// Turns it off. Returns the new epoch.
    async fn lift_safe_mode(&self, scope: SafeModeScope, entry: Entry) -> Result<u64, StoreError>;
    /// Turns an observation on. Returns the new epoch.
    async fn start_observation(&self, row: ObservationRow, entry: Entry) -> Result<u64, StoreError>;
    /// Turns it off. Returns the new epoch.
    async fn end_observation(&self, scope: ObservationScope, entry: Entry) -> Result<u64, StoreError>;
    /// Observations with what they counted up to now.
    async fn observations(&self) -> Result<Vec<ObservationRow>, StoreError>;
    /// Puts tools of a system into quarantine, replacing that system's earlier rows. Returns the new epoch.
    async fn quarantine(&self, system: SystemName, rows: Vec<Quarantine>, entry: Entry) -> Result<u64, StoreError>;

    // ---- requests for consent ----------------------------------------------
    /// Keeps a request that waits for a user apart from its client, using up what authenticated it, and forgets those that
    /// ended before `forget_before`. Too many that wait of its client, for its user, or of the one for the other make
    /// [`StoreError::Conflict`].
    async fn ask_consent(
        &self,
        request: ConsentRequest,
        forget_before: Timestamp,
        spent: Vec<Spent>,
        entry: Entry,
    ) -> Result<Receipt, StoreError>;
    /// Gives a request that waits its user or its answer, and takes back what its user allowed; one that was answered
    /// otherwise or redeemed, or is another user's, makes [`StoreError::Conflict`]. Whatever stops its user or its client
    /// refuses it too, in the same commit.
    async fn answer_consent(
        &self,
        id: ConsentRequestId,
        user: UserId,
        status: ConsentStatus,
        entry: Entry,
    ) -> Result<Receipt, StoreError>;
    /// Gives the grant of a request that its user allowed, using up what authenticated its client; returns the new epoch.
    /// One that is not allowed any more, or over, makes [`StoreError::Conflict`].
    async fn redeem_consent(
        &self,
        id: ConsentRequestId,
        grant: Grant,
        spent: Vec<Spent>,
        entry: Entry,
    ) -> Result<u64, StoreError>;
    /// A request, by what is known of it; it may have ended.
    async fn consent_request(&self, key: ConsentKey) -> Result<Option<ConsentRequest>, StoreError>;
    /// The requests that wait for a user, or that they allowed and nobody redeemed, oldest first; some may have ended.
    async fn consent_requests(&self, user: &UserId) -> Result<Vec<ConsentRequest>, StoreError>;

    // ---- vault rows --------------------------------------------------------
    /// A subject's wrapped data key.
    async fn data_key(&self, subject: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps a subject's wrapped data key unless there is one, and returns the one that is kept.
    async fn keep_data_key(&self, subject: &str, wrapped: Vec<u8>) -> Result<Vec<u8>, StoreError>;
    /// Keeps a sealed upstream credential.
    async fn put_secret(&self, name: SecretName, ciphertext: Vec<u8>, entry: Entry) -> Result<(), StoreError>;
    /// Removes one.
    async fn remove_secret(&self, name: SecretName, entry: Entry) -> Result<(), StoreError>;
    /// A sealed upstream credential.
    async fn secret(&self, name: &SecretName) -> Result<Option<Vec<u8>>, StoreError>;
    /// The names of all of them.
    async fn secrets(&self) -> Result<BTreeSet<SecretName>, StoreError>;

    // ---- evidence ----------------------------------------------------------
    /// Reads entries.
    async fn entries(&self, filter: EntryFilter) -> Result<Vec<StoredEntry>, StoreError>;
    /// All entries with this event id, or concluding it, in order.
    async fn entries_of(&self, event_id: &str) -> Result<Vec<StoredEntry>, StoreError>;
    /// Integrates all durable leaves into the Merkle log and signs a checkpoint if it grew.
    /// Returns the tree's size.
    async fn integrate(&self, signer: std::sync::Arc<dyn crate::signer::CheckpointSigner>) -> Result<u64, StoreError>;
    /// The signed note of the newest checkpoint.
    async fn checkpoint(&self) -> Result<Option<String>, StoreError>;
    /// All checkpoints, oldest first: tree size and signed note.
    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, StoreError>;

    // ---- care --------------------------------------------------------------
    /// Writes a consistent copy of the whole store to a new file.
    async fn backup(&self, path: &std::path::Path) -> Result<(), StoreError>;
}
