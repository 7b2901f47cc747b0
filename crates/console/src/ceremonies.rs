//! The two ceremonies of `WebAuthn`: signing in with a passkey that its device knows the user of, and making a new one.
//!
//! What was asked is kept by an id that the form brings back: for five minutes, for one answer, and so many at a time. User verification is always required, and a counter that does not rise is refused.

use std::collections::BTreeSet;

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
use jiff::SignedDuration;
use url::Url;
use uuid::Uuid;
use webauthn_rs::{
    Webauthn, WebauthnBuilder,
    prelude::{
        DiscoverableAuthentication, Passkey as Verifier, PasskeyRegistration, PublicKeyCredential,
        RegisterPublicKeyCredential,
    },
};

use crate::{trouble::Trouble, under_way::UnderWay};

/// How long an answer is waited for.
const ANSWER_WITHIN: SignedDuration = SignedDuration::from_mins(5);
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

/// The ceremonies that are under way. Anybody may ask to sign in, so that gives up nothing that somebody with a link or a
/// session is at.
pub(crate) struct Ceremonies {
    webauthn: Option<Webauthn>,
    sign_ins: UnderWay<String, DiscoverableAuthentication>,
    registrations: UnderWay<String, (Registrant, PasskeyRegistration)>,
}

impl Ceremonies {
    /// For pages of an origin; one without a name has none.
    pub(crate) fn new(origin: &str) -> Self {
        let webauthn = origin.parse::<Url>().ok().and_then(|url| {
            let name = url.domain()?.to_owned();
            WebauthnBuilder::new(&name, &url).ok()?.rp_name("Bailiwick").build().ok()
        });
        Self { webauthn, sign_ins: UnderWay::new(ANSWER_WITHIN), registrations: UnderWay::new(ANSWER_WITHIN) }
    }

    fn webauthn(&self) -> Result<&Webauthn, Trouble> {
        self.webauthn.as_ref().ok_or(Trouble::NoName)
    }

    /// Asks for any passkey of this broker; `from` is whom an address is counted as.
    pub(crate) fn ask_sign_in(&self, broker: &Broker, from: &str) -> Result<Asked, Trouble> {
        let (challenge, state) = self.webauthn()?.start_discoverable_authentication().map_err(failed)?;
        let options = serde_json::to_string(&challenge.public_key).map_err(|error| failed_with(&error))?;
        let id = new_id(broker);
        self.sign_ins.keep(id.clone(), from, state, broker.now());
        Ok(Asked { id, options })
    }

    /// Who an answer proves to be there.
    pub(crate) async fn sign_in(
        &self,
        broker: &Broker,
        id: &str,
        answer: &str,
    ) -> Result<(UserId, Authentication), Trouble> {
        let state = self.sign_ins.take(&id.to_owned(), broker.now()).ok_or(Trouble::Stale)?;
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
        let id = new_id(broker);
        self.registrations.keep(id.clone(), user.id.as_str(), (registrant, state), broker.now());
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
        let (asked, state) = self.registrations.take(&id.to_owned(), broker.now()).ok_or(Trouble::Stale)?;
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
}

/// What a form brings back.
fn new_id(broker: &Broker) -> String {
    URL_SAFE_NO_PAD.encode(random::<16>(broker.entropy()))
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
