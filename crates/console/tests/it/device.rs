//! A device that keeps passkeys, in software (`WebAuthn` level 3), and can be told to do each step wrongly.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use minicbor::Encoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const HAS_CREDENTIAL: u8 = 0x40;

/// A device with one passkey at most.
pub(crate) struct Device {
    key: EcdsaKeyPair,
    pub(crate) credential: Vec<u8>,
    /// Whom the passkey is for, as it was told.
    pub(crate) handle: Vec<u8>,
    pub(crate) counter: u32,
    /// The origin that it believes to be at.
    pub(crate) origin: String,
    /// Whether it asks for finger, face or PIN.
    pub(crate) verifies: bool,
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn bytes(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

impl Device {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            credential: vec![number; 16],
            handle: Vec::new(),
            counter: 1,
            origin: "https://broker.test".to_owned(),
            verifies: true,
        }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = options["challenge"].as_str().unwrap();
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    fn authenticator_data(&self, rp_id: &str, flags: u8) -> Vec<u8> {
        let verified = if self.verifies { USER_VERIFIED } else { 0 };
        let mut data = Sha256::digest(rp_id.as_bytes()).to_vec();
        data.push(USER_PRESENT | verified | flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// Makes its passkey (`navigator.credentials.create`).
    pub(crate) fn create(&mut self, options: &Value) -> String {
        self.handle = bytes(&options["user"]["id"]);
        let mut data = self.authenticator_data(options["rp"]["id"].as_str().unwrap(), HAS_CREDENTIAL);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.credential.len()).unwrap().to_be_bytes());
        data.extend(&self.credential);
        let point = self.key.public_key().as_ref();
        let mut cose = Encoder::new(Vec::new());
        // COSE: EC2, ES256, P-256, x, y (RFC 9053).
        cose.map(5).unwrap();
        for (label, value) in [(1, 2), (3, -7), (-1, 1)] {
            cose.i32(label).unwrap().i32(value).unwrap();
        }
        cose.i32(-2).unwrap().bytes(&point[1..33]).unwrap().i32(-3).unwrap().bytes(&point[33..]).unwrap();
        data.extend(cose.into_writer());
        let mut object = Encoder::new(Vec::new());
        object.map(3).unwrap();
        object.str("fmt").unwrap().str("none").unwrap();
        object.str("attStmt").unwrap().map(0).unwrap();
        object.str("authData").unwrap().bytes(&data).unwrap();
        json!({
            "id": text(&self.credential), "rawId": text(&self.credential), "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(&self.client_data("webauthn.create", options)),
                "attestationObject": text(&object.into_writer()), "transports": ["internal"],
            },
        })
        .to_string()
    }

    /// Signs in with it (`navigator.credentials.get`).
    pub(crate) fn get(&mut self, options: &Value) -> String {
        self.counter += 1;
        let data = self.authenticator_data(options["rpId"].as_str().unwrap(), 0);
        let client_data = self.client_data("webauthn.get", options);
        let signed = [data.as_slice(), Sha256::digest(&client_data).as_slice()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": text(&self.credential), "rawId": text(&self.credential), "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(&client_data), "authenticatorData": text(&data),
                "signature": text(signature.as_ref()), "userHandle": text(&self.handle),
            },
        })
        .to_string()
    }
}
