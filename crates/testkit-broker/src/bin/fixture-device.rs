//! Makes a token of SoftHSM and a key for ES256 inside it, as an owner of a real device does with the maker's own program:
//! `fixture-device MODULE TOKEN PIN LABEL`. Prints the public half and what the device says of the private one, as JSON.
//! A program of its own, since SoftHSM finds its configuration in the environment alone.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "part of tests; its output is what it is for")]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType},
    session::UserType,
    types::AuthPin,
};
use serde_json::json;

/// DER of the OID of P-256.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [module, token, pin, label] = <[String; 4]>::try_from(words).unwrap();
    let library = Pkcs11::new(module).unwrap();
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let (officer, user) = (AuthPin::from("12345678"), AuthPin::from(pin.as_str()));
    let known = library.get_slots_with_initialized_token().unwrap();
    let known = known.into_iter().find(|slot| library.get_token_info(*slot).unwrap().label() == token);
    let slot = known.unwrap_or_else(|| {
        let free = library.get_slots_with_token().unwrap().pop().unwrap();
        library.init_token(free, &officer, &token).unwrap();
        let session = library.open_rw_session(free).unwrap();
        session.login(UserType::So, Some(&officer)).unwrap();
        session.init_pin(&user).unwrap();
        free
    });
    let session = library.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&user)).unwrap();
    let id = label.as_bytes().to_vec();
    let named = [Attribute::Token(true), Attribute::Label(id.clone()), Attribute::Id(id)];
    let public = [&named[..], &[Attribute::EcParams(P256.to_vec()), Attribute::Verify(true)]].concat();
    let private =
        [Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false), Attribute::Sign(true)];
    let private = [&named[..], &private].concat();
    let (public, private) = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
    let point = match session.get_attributes(public, &[AttributeType::EcPoint]).unwrap().pop() {
        Some(Attribute::EcPoint(der)) => URL_SAFE_NO_PAD.encode(der.strip_prefix(&[4, 65]).unwrap()),
        _ => String::new(),
    };
    let wanted = [AttributeType::Local, AttributeType::NeverExtractable, AttributeType::AlwaysSensitive];
    let said = session.get_attributes(private, &wanted).unwrap();
    let stays = said.contains(&Attribute::Local(true))
        && said.contains(&Attribute::NeverExtractable(true))
        && said.contains(&Attribute::AlwaysSensitive(true));
    // And if one asks all the same.
    let value = session.get_attributes(private, &[AttributeType::Value]);
    let taken =
        value.is_ok_and(|found| found.iter().any(|one| matches!(one, Attribute::Value(bytes) if !bytes.is_empty())));
    println!("{}", json!({ "point": point, "made_inside_and_stays": stays, "taken_out": taken }));
}
