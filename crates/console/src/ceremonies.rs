//! The two ceremonies of `WebAuthn`: signing in with a passkey that its device knows the user of, and making a new one.
//!
//! What was asked is kept here, by an id that the form brings back: for five minutes, for one answer, and so many at a
//! time. User verification is always required, and a counter that does not rise is refused.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use bailiwick_engine::{broker::Broker, passkeys, refusal::Refusal};
use bailiwick_model::{
    authentication::{Authentication, PHISHING_RESISTANT},
    digest::Digest,
    name::UserId,
    passkey::Passkey,
    user::User,
};
use bailiwick_ports::chance::random;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use url::Url;
use uuid::Uuid;
use webauthn_rs::{
    Webauthn, WebauthnBuilder,
    prelude::{
        DiscoverableAuthentication, Passkey as Verifier, PasskeyRegistration, PublicKeyCredential,
        RegisterPublicKeyCredential,
    },
};

use crate::trouble::Trouble;

/// How long an answer is waited for.
pub(crate) const ANSWER_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// Answers of each kind that are waited for at a time; with one more, the oldest is given up.
pub(crate) const PENDING_MAX: usize = 4_096;
/// Bytes of a credential id (`WebAuthn` level 3, §5.8.1).
const CREDENTIAL_BYTES_MAX: usize = 1_023;

/// What a page asks of the browser.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What the form brings back.
    pub(crate) id: String,
    /// The options, as JSON for the browser's own parser.
    pub(crate) options: String,
}

/// For whom a new passkey is made, and by what right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registrant {
    pub(crate) user: UserId,
    /// The link that allows it; without one it is the session.
    pub(crate) link: Option<Digest>,
}

enum Waiting {
    SignIn(DiscoverableAuthentication),
    Registration(Registrant, PasskeyRegistration),
}

struct Pending {
    until: Timestamp,
    waiting: Waiting,
}

/// The ceremonies that are under way.
pub(crate) struct Ceremonies {
    webauthn: Option<Webauthn>,
    pending: Mutex<HashMap<String, Pending>>,
}

impl Ceremonies {
    /// For pages of an origin; one without a name has none.
    pub(crate) fn new(origin: &str) -> Self {
        let webauthn = origin.parse::<Url>().ok().and_then(|url| {
            let name = url.domain()?.to_owned();
            WebauthnBuilder::new(&name, &url).ok()?.rp_name("Bailiwick").build().ok()
        });
        Self { webauthn, pending: Mutex::default() }
    }

    fn webauthn(&self) -> Result<&Webauthn, Trouble> {
        self.webauthn.as_ref().ok_or(Trouble::NoName)
    }

    /// Asks for any passkey of this broker.
    pub(crate) fn ask_sign_in(&self, broker: &Broker) -> Result<Asked, Trouble> {
        let (challenge, state) = self.webauthn()?.start_discoverable_authentication().map_err(failed)?;
        let options = serde_json::to_string(&challenge.public_key).map_err(|error| failed_with(&error))?;
        Ok(Asked { id: self.wait(broker, Waiting::SignIn(state)), options })
    }

    /// Who an answer proves to be there.
    pub(crate) async fn sign_in(
        &self,
        broker: &Broker,
        id: &str,
        answer: &str,
    ) -> Result<(UserId, Authentication), Trouble> {
        let Waiting::SignIn(state) = self.take(broker, id)? else { return Err(Trouble::Stale) };
        let answer: PublicKeyCredential = serde_json::from_str(answer).map_err(|_| Trouble::NotProven)?;
        let found = passkeys::find(broker, answer.get_credential_id()).await?;
        let (passkey, user) = found.ok_or(Trouble::NotProven)?;
        // The device says whose it is, too; a passkey of somebody else is not that user's.
        if answer.get_user_unique_id() != Some(handle(broker, &user.id).as_bytes().as_slice()) {
            return Err(Trouble::NotProven);
        }
        let mut verifier: Verifier = serde_json::from_str(&passkey.record).map_err(|error| failed_with(&error))?;
        let proof = self
            .webauthn()?
            .finish_discoverable_authentication_v2(&answer, state, &verifier)
            .map_err(|error| not_proven(&user.id, &error))?;
        if !proof.user_verified() {
            return Err(Trouble::NotProven);
        }
        verifier.update_credential(&proof);
        let record = serde_json::to_string(&verifier).map_err(|error| failed_with(&error))?;
        passkeys::note_use(broker, passkey, record).await?;
        // A passkey that its device may copy is not held by hardware (RFC 8176).
        let held = if proof.backup_eligible() { "swk" } else { "hwk" };
        let methods = BTreeSet::from([held.to_owned(), "user".to_owned()]);
        Ok((user.id.clone(), Authentication { at: broker.now(), methods, acr: PHISHING_RESISTANT.parse().ok() }))
    }

    /// Asks for a new passkey of a user, on a device that has none of theirs yet.
    pub(crate) async fn ask_registration(
        &self,
        broker: &Broker,
        user: &User,
        link: Option<Digest>,
    ) -> Result<Asked, Trouble> {
        let there = passkeys::of_user(broker, &user.id).await?;
        let there = there.into_iter().map(|passkey| passkey.credential).collect();
        let (challenge, state) = self
            .webauthn()?
            .start_passkey_registration(handle(broker, &user.id), &user.name, &user.name, Some(there))
            .map_err(failed)?;
        let mut options = serde_json::to_value(&challenge.public_key).map_err(|error| failed_with(&error))?;
        // The device keeps the user with the key, so that nobody types who they are.
        if let Some(selection) = options.get_mut("authenticatorSelection").and_then(serde_json::Value::as_object_mut) {
            selection.insert("residentKey".to_owned(), "required".into());
            selection.insert("requireResidentKey".to_owned(), true.into());
        }
        let registrant = Registrant { user: user.id.clone(), link };
        let id = self.wait(broker, Waiting::Registration(registrant, state));
        Ok(Asked { id, options: options.to_string() })
    }

    /// Keeps the passkey that an answer brings, for whom it was asked.
    pub(crate) async fn register(
        &self,
        broker: &Broker,
        id: &str,
        answer: &str,
        (registrant, name): (&Registrant, &str),
    ) -> Result<(), Trouble> {
        let name = passkeys::name(name)?;
        let Waiting::Registration(asked, state) = self.take(broker, id)? else { return Err(Trouble::Stale) };
        if asked != *registrant {
            return Err(Trouble::Stale);
        }
        let answer: RegisterPublicKeyCredential = serde_json::from_str(answer).map_err(|_| Trouble::NotProven)?;
        let verifier = self
            .webauthn()?
            .finish_passkey_registration(&answer, &state)
            .map_err(|error| not_proven(&asked.user, &error))?;
        let credential: Vec<u8> = verifier.cred_id().to_vec();
        if credential.is_empty() || credential.len() > CREDENTIAL_BYTES_MAX {
            return Err(Trouble::NotProven);
        }
        let passkey = Passkey {
            credential,
            user: asked.user,
            name,
            record: serde_json::to_string(&verifier).map_err(|error| failed_with(&error))?,
            created_at: broker.now(),
            last_used_at: None,
        };
        Ok(passkeys::add(broker, passkey, asked.link).await?)
    }

    fn wait(&self, broker: &Broker, waiting: Waiting) -> String {
        let (id, now) = (URL_SAFE_NO_PAD.encode(random::<16>(broker.entropy())), broker.now());
        let until = now.checked_add(ANSWER_WITHIN).unwrap_or(now);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // Anybody may ask to sign in, so that must not give up what somebody with a link or a session is at.
        let alike = |pending: &Pending| std::mem::discriminant(&pending.waiting) == std::mem::discriminant(&waiting);
        if pending.len() >= PENDING_MAX {
            pending.retain(|_, pending| now < pending.until);
        }
        if pending.values().filter(|pending| alike(pending)).count() >= PENDING_MAX {
            let all = pending.iter().filter(|(_, pending)| alike(pending));
            let oldest = all.min_by_key(|(_, pending)| pending.until).map(|(id, _)| id.clone());
            oldest.and_then(|id| pending.remove(&id));
        }
        pending.insert(id.clone(), Pending { until, waiting });
        id
    }

    /// What an answer is to. It is answered once.
    fn take(&self, broker: &Broker, id: &str) -> Result<Waiting, Trouble> {
        let found = self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        found.filter(|pending| broker.now() < pending.until).map(|pending| pending.waiting).ok_or(Trouble::Stale)
    }
}

/// What devices keep a user by: nothing that tells who it is, and the same each time.
fn handle(broker: &Broker, user: &UserId) -> Uuid {
    let digest = Digest::of(format!("bailiwick-user-handle-v1 {} {user}", broker.settings().issuer).as_bytes());
    let (first, _) = digest.as_bytes().split_at(16);
    Uuid::from_slice(first).unwrap_or_default()
}

fn not_proven(user: &UserId, error: &webauthn_rs::prelude::WebauthnError) -> Trouble {
    tracing::warn!(user.id = %user, %error, "a passkey was refused");
    Trouble::NotProven
}

fn failed(error: webauthn_rs::prelude::WebauthnError) -> Trouble {
    failed_with(&error)
}

fn failed_with(error: &dyn std::fmt::Display) -> Trouble {
    tracing::error!(%error, "a passkey ceremony failed");
    Trouble::from(Refusal::Unavailable("a passkey ceremony failed".to_owned()))
}
