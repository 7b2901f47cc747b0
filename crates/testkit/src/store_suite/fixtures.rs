//! Plain values of every kind that a store keeps.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bailiwick_audit_log::{
    checkpoint::VerifierKey,
    event::{AuditEvent, EventKind},
};
use bailiwick_model::{
    agent::{Agent, AgentStatus, Attestation, Authenticator, Credential, Environment, KeyProtection},
    bundle::BundleFiles,
    confirmation::Confirmation,
    digest::Digest,
    id::{TaskId, TokenId},
    jwk::{PublicKey, SigningAlgorithm, Thumbprint},
    principal::Principal,
    task::{Pin, Task, TaskStatus, ToolGrant},
};
use bailiwick_ports::{
    entry::Entry,
    signer::{CheckpointSigner, SignError},
    store::{FactRow, Intent, IssuedToken, PublishedBundle, ReliedOn, Spent, State, Store},
};
use jiff::Timestamp;

/// The moment at which all fixtures begin.
pub const START_S: i64 = 1_700_000_000;

/// `seconds` after the start.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START_S + seconds).unwrap()
}

/// An entry at a moment, without a body.
pub fn entry_at(kind: EventKind, id: &str, at: Timestamp) -> Entry {
    let (body, commitments) = (BTreeMap::new(), BTreeMap::new());
    Entry { event: AuditEvent { kind, id: id.to_owned(), at, concludes: None, body, commitments }, sealed: None }
}

/// An entry at the start.
pub fn entry(kind: EventKind, id: &str) -> Entry {
    entry_at(kind, id, at(0))
}

/// The outcome of an intent.
pub fn outcome(id: &str, intent: &str) -> Entry {
    let mut entry = entry(EventKind::Outcome, id);
    entry.event.concludes = Some(intent.to_owned());
    entry
}

/// Adds text fields to an entry's body.
pub fn with_body(mut entry: Entry, fields: &[(&str, &str)]) -> Entry {
    let fields = fields.iter().map(|(key, text)| ((*key).to_owned(), (*text).into()));
    entry.event.body.extend(fields);
    entry
}

/// The evidence of a change.
pub fn changed(id: &str) -> Entry {
    entry(EventKind::AgentChanged, id)
}

/// An agent with two keys.
pub fn agent(name: &str) -> Agent {
    Agent {
        name: name.parse().unwrap(),
        owner: "Ada <ada@example.com>".into(),
        purpose: "answers \"customers\"".into(),
        environment: Environment::Staging,
        role: "support".parse().unwrap(),
        systems: vec!["crm".parse().unwrap(), "files".parse().unwrap()],
        scopes: vec!["access:evaluate".parse().unwrap()],
        redirect_uris: vec!["https://client.example/cb".parse().unwrap()],
        promoted: false,
        bearer_tokens_allowed: true,
        task_required: true,
        key_protection: KeyProtection::Hardware,
        token_ttl_s: 900,
        credentials: vec![credential("key-1"), credential("key-2")],
        status: AgentStatus::Active,
        created_at: at(0),
        expires_at: at(86_400),
        review_by: at(80_000),
        successor_by: Some(at(70_000)),
        version: 1,
    }
}

/// A key named `kid`, never used.
pub fn credential(kid: &str) -> Credential {
    let thumbprint = Thumbprint::of_canonical_json(kid);
    let (algorithm, jwk) = (SigningAlgorithm::ES256, format!(r#"{{"kid":"{kid}"}}"#));
    let key = PublicKey { kid: kid.into(), algorithm, thumbprint, jwk };
    let authenticator = Authenticator::Key(key);
    let attestation = (kid == "key-2").then(|| Attestation::new(vec![vec![1, 2, 3], vec![4]]).unwrap());
    Credential { authenticator, attestation, created_at: at(0), expires_at: at(86_400), last_used_at: None }
}

/// An open task of an agent that lasts an hour.
pub fn task(number: u8, agent: &str) -> Task {
    let pins = BTreeMap::from([
        ("to".to_owned(), Pin::OneOf(vec!["a@example.com".into(), 7.into()])),
        ("path".to_owned(), Pin::Under("/data".into())),
        ("amount".to_owned(), Pin::AtMost(-3)),
    ]);
    Task {
        id: TaskId::from_bytes([number; 16]),
        agent: agent.parse().unwrap(),
        purpose: "one ticket".into(),
        prompt_commitment: Some([7; 32]),
        tools: vec![ToolGrant { action: "crm.mail".parse().unwrap(), pins }],
        self_made: number == 1,
        status: TaskStatus::Open,
        created_at: at(0),
        expires_at: at(3_600),
    }
}

/// A bundle whose content is told apart by `text`.
pub fn bundle(text: &str, seconds: i64) -> PublishedBundle {
    let files = BundleFiles::new(BTreeMap::from([
        ("policies/boundary/base.cedar".to_owned(), text.as_bytes().to_vec()),
        ("roles/support.toml".to_owned(), vec![0, 159, 146, 150]),
    ]))
    .unwrap();
    PublishedBundle {
        revision: files.revision(),
        boundary: files.boundary_digest(),
        files,
        boundary_signature: vec![1, 2, 3],
        published_at: at(seconds),
        published_by: "operator:root".into(),
    }
}

/// A fact of an agent until a moment.
pub fn fact(agent: &str, fact: &str, until_s: i64) -> FactRow {
    FactRow { initiating: initiating(agent), fact: fact.parse().unwrap(), until: at(until_s) }
}

/// The agent as the one who started the work.
pub fn initiating(agent: &str) -> Principal {
    Principal::Agent(agent.parse().unwrap())
}

/// An identifier to use up.
pub fn spent(jti: &str, forget_s: i64) -> Spent {
    Spent { scope: "dpop:key-1".into(), jti: Digest::of(jti.as_bytes()), forget_at: at(forget_s) }
}

/// A token of an agent's first key.
pub fn token(number: u8, agent: &str, seconds: i64) -> IssuedToken {
    IssuedToken {
        id: TokenId::from_bytes([number; 16]),
        client: agent.parse().unwrap(),
        audience: "https://b.example/mcp/crm".into(),
        grant: None,
        task: None,
        confirmation: Some(Confirmation::Key(Thumbprint::of_canonical_json("dpop"))),
        credential: Thumbprint::of_canonical_json("key-1"),
        issued_at: at(seconds),
        expires_at: at(seconds + 900),
    }
}

/// An intent that settles nothing and relies on the state as it is.
pub fn intent(id: &str, state: &State) -> Intent {
    Intent {
        entry: entry(EventKind::Intent, id),
        spent: vec![],
        budgets: vec![],
        facts: vec![],
        observed: BTreeMap::new(),
        relied_on: ReliedOn { epoch: state.epoch, ..ReliedOn::default() },
    }
}

/// The number of entries in a store.
pub async fn count(store: &dyn Store) -> usize {
    let filter = bailiwick_ports::store::EntryFilter { limit: usize::MAX, ..Default::default() };
    store.entries(filter).await.unwrap().len()
}

/// A signer of checkpoints with a fixed key.
pub struct FixedSigner {
    pair: Ed25519KeyPair,
    /// Whether to fail instead.
    pub broken: bool,
}

impl FixedSigner {
    /// The key of this seed.
    pub fn new(seed: u8) -> Self {
        Self { pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(), broken: false }
    }

    /// What an auditor is given.
    pub fn verifier_key(&self) -> VerifierKey {
        VerifierKey::new(&self.origin(), self.public_key()).unwrap()
    }
}

impl CheckpointSigner for FixedSigner {
    fn origin(&self) -> String {
        "example.com/log".into()
    }

    fn public_key(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        if self.broken {
            return Err(SignError("no token in the slot".into()));
        }
        Ok(self.pair.sign(message).as_ref().try_into().unwrap())
    }
}
