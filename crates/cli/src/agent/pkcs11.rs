//! A key that stays in its device: named by a `pkcs11:` URI, it signs there through the maker's PKCS#11 library. ES256 alone.
//! The library is loaded into this process, the agent's own; the broker never loads one.

mod uri;

use std::{path::PathBuf, sync::Mutex};

use bailiwick_keys::{
    agent_key::AgentKey,
    secret_file::{self, Access},
};
use bailiwick_model::{digest::Digest, secret::Secret};
use bailiwick_ports::signer::{DeviceKey, SignError};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};

pub(crate) use self::uri::SCHEME;
use self::uri::{KeyUri, PinSource};
use crate::exit::{Exit, Failure};

/// Names the PKCS#11 library where the URI does not.
pub(crate) const MODULE: &str = "BAILIWICK_PKCS11_MODULE";
/// DER of the OID of P-256 (RFC 5480 §2.1.1.1), which `CKA_EC_PARAMS` has.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// DER before an uncompressed point of P-256 in `CKA_EC_POINT`: an octet string of 65 bytes.
const POINT: [u8; 2] = [0x04, 65];

/// Opens the key that a `pkcs11:` URI names (RFC 7512). Neither the URI nor the PIN is ever repeated: whoever wrote a PIN into
/// the URI would find it in a log.
pub(crate) fn open(text: &str) -> Result<AgentKey, Failure> {
    let uri = KeyUri::parse(text).map_err(|why| {
        Failure::new(format!("the `{SCHEME}` URI of the key cannot be used: {why}"))
            .hint("write `pkcs11:token=NAME;object=NAME?module-path=/path/to/library.so&pin-source=file:/path/to/pin`")
            .exit(Exit::Usage)
    })?;
    let module = match uri.module.clone().or_else(|| std::env::var_os(MODULE).map(PathBuf::from)) {
        Some(path) if path.is_absolute() => path,
        _ => {
            let failure = Failure::new("which PKCS#11 library speaks to the device?").exit(Exit::Usage);
            return Err(failure.hint(format!("add `?module-path=/path/to/library.so`, or set `{MODULE}` to it")));
        }
    };
    let library = Pkcs11::new(&module).map_err(|error| Failure::file(&module, &error))?;
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(|error| failed(&error))?;
    let slot = slot(&library, &uri)?;
    let session = library.open_ro_session(slot).map_err(|error| failed(&error))?;
    if let Some(source) = &uri.pin {
        let pin = pin(source)?;
        match session.login(UserType::User, Some(&AuthPin::from(pin.expose().as_str()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => {
                return Err(
                    failed(&error).hint("a device counts wrong PINs and locks itself: look before you try again")
                );
            }
        }
    }
    let (private, point) = pair(&session, &uri)?;
    let device = Device { session: Mutex::new(session), private };
    AgentKey::in_device(&point, Box::new(device)).map_err(|error| Failure::new(format!("the device's key: {error}")))
}

/// An open session of a device, and the key in it.
struct Device {
    session: Mutex<Session>,
    private: ObjectHandle,
}

impl DeviceKey for Device {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let session = self.session.lock().map_err(|_| SignError("the device's session broke".to_owned()))?;
        // The device signs a digest that is made here: not every one makes it itself.
        let digest = Digest::of(message);
        session
            .sign(&Mechanism::Ecdsa, self.private, digest.as_bytes())
            .map_err(|error| SignError(format!("the device refused: {error}")))
    }
}

/// The one token that the URI means.
fn slot(library: &Pkcs11, uri: &KeyUri) -> Result<Slot, Failure> {
    let mut found = Vec::new();
    for slot in library.get_slots_with_initialized_token().map_err(|error| failed(&error))? {
        let token = library.get_token_info(slot).map_err(|error| failed(&error))?;
        let is_it = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|wanted| wanted == has);
        if is_it(&uri.token, token.label())
            && is_it(&uri.manufacturer, token.manufacturer_id())
            && is_it(&uri.model, token.model())
            && is_it(&uri.serial, token.serial_number())
        {
            found.push(slot);
        }
    }
    sole(found, "token")
}

/// The private key that the URI means, and the point of its public half.
fn pair(session: &Session, uri: &KeyUri) -> Result<(ObjectHandle, Vec<u8>), Failure> {
    let find = |class: ObjectClass, by: &[Attribute]| {
        let template = [&[Attribute::Class(class), Attribute::KeyType(KeyType::EC)][..], by].concat();
        session.find_objects(&template).map_err(|error| failed(&error))
    };
    let label = uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec()));
    let named: Vec<Attribute> = label.into_iter().chain(uri.id.clone().map(Attribute::Id)).collect();
    let private = sole(find(ObjectClass::PRIVATE_KEY, &named)?, "private key for P-256")?;
    // The two halves of a pair have one id, where they have any.
    let ids = session.get_attributes(private, &[AttributeType::Id]).map_err(|error| failed(&error))?;
    let id = ids.into_iter().find(|one| matches!(one, Attribute::Id(id) if !id.is_empty()));
    let public = sole(find(ObjectClass::PUBLIC_KEY, &id.map_or(named, |id| vec![id]))?, "public key beside it")?;
    let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
    let (mut curve, mut point) = (Vec::new(), Vec::new());
    for attribute in session.get_attributes(public, &wanted).map_err(|error| failed(&error))? {
        match attribute {
            Attribute::EcParams(der) => curve = der,
            Attribute::EcPoint(der) => point = der,
            _ => {}
        }
    }
    match point.strip_prefix(&POINT).filter(|_| curve == P256) {
        Some(point) => Ok((private, point.to_vec())),
        None => Err(Failure::new("the device's key is not for P-256").hint("make one for ES256: curve `prime256v1`")),
    }
}

fn sole<T>(found: Vec<T>, what: &str) -> Result<T, Failure> {
    let count = found.len();
    match <[T; 1]>::try_from(found) {
        Ok([one]) => Ok(one),
        Err(_) if count == 0 => Err(Failure::new(format!("the device has no such {what}"))
            .hint("`token` and `object` of the URI are compared whole; most devices show private keys after `pin-source` alone")),
        Err(_) => Err(Failure::new(format!("{count} of the device fit as {what}"))
            .hint("say more: `serial` of the token, `id` of the key")),
    }
}

fn pin(source: &PinSource) -> Result<Secret<String>, Failure> {
    let text = match source {
        PinSource::File(path) => {
            let bytes = secret_file::read(path, Access::Owner).map_err(|error| Failure::new(error.to_string()))?;
            Secret::new(String::from_utf8_lossy(bytes.expose()).trim_end_matches(['\r', '\n']).to_owned())
        }
        PinSource::Variable(name) => Secret::new(std::env::var(name).unwrap_or_default()),
    };
    match text.expose().is_empty() {
        true => Err(Failure::new("`pin-source` of the URI holds no PIN")),
        false => Ok(text),
    }
}

fn failed(error: &Error) -> Failure {
    Failure::new(format!("the device does not answer as it should: {error}"))
}
