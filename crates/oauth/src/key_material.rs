//! The mathematics of a public key: what it consists of, whether it is sound,
//! what it is called. Who may use it for what is the key policy's business.

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{PublicKey as RsaPublicKey, PublicKeyComponents},
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    },
};
use bailiwick_model::jwk::{PublicKey, SigningAlgorithm, Thumbprint};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::key_policy::{KeyError, algorithm_name};

/// Bits of an RSA modulus, at least (NIST SP 800-131A).
pub const RSA_BITS_MIN: usize = 2_048;
/// Bits of an RSA modulus, at most: beyond it a verification costs too much.
pub const RSA_BITS_MAX: usize = 4_096;
/// Bytes of an RSA public exponent, at most.
const RSA_EXPONENT_BYTES_MAX: usize = 4;
/// Bytes of a key's name.
pub const KID_BYTES_MAX: usize = 128;

/// `SubjectPublicKeyInfo` of P-256 up to and with the mark of an uncompressed point (RFC 5480).
const P256_SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// `SubjectPublicKeyInfo` of Ed25519 up to the key (RFC 8410).
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The public numbers of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A point on P-256.
    P256 {
        /// Its first coordinate, big-endian.
        x: [u8; 32],
        /// Its second coordinate, big-endian.
        y: [u8; 32],
    },
    /// An Ed25519 key.
    Ed25519 {
        /// The encoded point.
        x: [u8; 32],
    },
    /// An RSA key.
    Rsa {
        /// The modulus, big-endian without leading zeros.
        n: Vec<u8>,
        /// The exponent, big-endian without leading zeros.
        e: Vec<u8>,
        /// Which of the two signatures it verifies; the numbers do not say.
        padding: RsaPadding,
    },
}

/// How an RSA signature is padded (RFC 8017 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaPadding {
    /// RSASSA-PSS: `PS256`.
    Pss,
    /// RSASSA-PKCS1-v1_5: `RS256`.
    Pkcs1,
}

impl KeyMaterial {
    /// From an uncompressed P-256 point: `04`, x, y.
    pub fn of_p256_point(point: &[u8]) -> Result<Self, KeyError> {
        match point.split_first() {
            Some((4, coordinates)) => match (coordinates.first_chunk(), coordinates.last_chunk()) {
                (Some(x), Some(y)) if coordinates.len() == 64 => Ok(Self::P256 { x: *x, y: *y }),
                _ => Err(KeyError::Unsound("a P-256 coordinate has not 32 bytes")),
            },
            _ => Err(KeyError::Unsound("the P-256 point is not in uncompressed form")),
        }
    }

    /// From RSA numbers, big-endian without leading zeros; its signatures are padded by PSS.
    pub const fn of_rsa(n: Vec<u8>, e: Vec<u8>) -> Self {
        Self::Rsa { n, e, padding: RsaPadding::Pss }
    }

    /// An RSA key for signatures padded so; any other key as it is.
    #[must_use]
    pub fn padded(self, padding: RsaPadding) -> Self {
        match self {
            Self::Rsa { n, e, padding: _ } => Self::Rsa { n, e, padding },
            other => other,
        }
    }

    /// From the DER of a `SubjectPublicKeyInfo`.
    pub fn of_spki(der: &[u8]) -> Result<Self, KeyError> {
        if let Some(coordinates) = der.strip_prefix(&P256_SPKI_PREFIX) {
            return Self::of_p256_point(&[&[4], coordinates].concat());
        }
        if let Some(key) = der.strip_prefix(&ED25519_SPKI_PREFIX) {
            let x = key.try_into().map_err(|_| KeyError::Unsound("the Ed25519 key has not 32 bytes"))?;
            return Ok(Self::Ed25519 { x });
        }
        let unknown = KeyError::Kind("use P-256, Ed25519 or RSA in a `SubjectPublicKeyInfo`");
        let key = RsaPublicKey::from_der(der).map_err(|_| unknown.clone())?;
        let material = Self::of_rsa(
            key.modulus().big_endian_without_leading_zero().to_vec(),
            key.exponent().big_endian_without_leading_zero().to_vec(),
        );
        // One spelling only: what is read must be what would be written.
        match key.as_der() {
            Ok(canonical) if canonical.as_ref() == der => Ok(material),
            _ => Err(unknown),
        }
    }

    /// The one algorithm that fits.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::P256 { .. } => SigningAlgorithm::ES256,
            Self::Ed25519 { .. } => SigningAlgorithm::EdDSA,
            Self::Rsa { padding: RsaPadding::Pss, .. } => SigningAlgorithm::PS256,
            Self::Rsa { padding: RsaPadding::Pkcs1, .. } => SigningAlgorithm::RS256,
        }
    }

    /// The thumbprint of RFC 7638 (RFC 8037 for Ed25519).
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of_canonical_json(&match self {
            Self::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, text(x), text(y))
            }
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x)),
            Self::Rsa { n, e, padding: _ } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(e), text(n)),
        })
    }

    /// Checks soundness and names the key; without a name it is called by its thumbprint.
    pub fn public_key(&self, kid: Option<&str>) -> Result<PublicKey, KeyError> {
        self.parse()?;
        self.describe(kid)
    }

    /// Names the key, whose soundness [`Self::parse`] has to check.
    pub(crate) fn describe(&self, kid: Option<&str>) -> Result<PublicKey, KeyError> {
        let thumbprint = self.thumbprint();
        let kid = kid.map_or_else(|| thumbprint.to_string(), str::to_owned);
        let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if kid.is_empty() || kid.len() > KID_BYTES_MAX || !kid.bytes().all(plain) {
            return Err(KeyError::Name);
        }
        let jwk = match self {
            Self::P256 { x, y } => format!(
                r#"{{"alg":"ES256","crv":"P-256","kid":"{kid}","kty":"EC","use":"sig","x":"{}","y":"{}"}}"#,
                text(x),
                text(y)
            ),
            Self::Ed25519 { x } => {
                format!(r#"{{"alg":"EdDSA","crv":"Ed25519","kid":"{kid}","kty":"OKP","use":"sig","x":"{}"}}"#, text(x))
            }
            Self::Rsa { n, e, padding: _ } => format!(
                r#"{{"alg":"{}","e":"{}","kid":"{kid}","kty":"RSA","n":"{}","use":"sig"}}"#,
                algorithm_name(self.algorithm()),
                text(e),
                text(n)
            ),
        };
        Ok(PublicKey { kid, algorithm: self.algorithm(), thumbprint, jwk })
    }

    /// Checks soundness and makes the key ready to verify.
    pub(crate) fn parse(&self) -> Result<ParsedPublicKey, KeyError> {
        match self {
            Self::P256 { x, y } => {
                let point = [&[4_u8][..], x, y].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .map_err(|_| KeyError::Unsound("the point is not on P-256"))
            }
            Self::Ed25519 { x } => {
                if has_small_order(x) {
                    return Err(KeyError::Unsound("the Ed25519 point has small order"));
                }
                ParsedPublicKey::new(&ED25519, x).map_err(|_| KeyError::Unsound("not an Ed25519 point"))
            }
            Self::Rsa { n, e, padding } => {
                check_rsa(n, e)?;
                let scheme = match padding {
                    RsaPadding::Pss => &RSA_PSS_2048_8192_SHA256,
                    RsaPadding::Pkcs1 => &RSA_PKCS1_2048_8192_SHA256,
                };
                PublicKeyComponents { n, e }
                    .to_parsed_public_key(scheme)
                    .map_err(|_| KeyError::Unsound("not an RSA key"))
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), KeyError> {
    let (Some(&top), Some(&bottom)) = (n.first(), n.last()) else {
        return Err(KeyError::Unsound("the RSA modulus is empty"));
    };
    let bits = (n.len() * 8).saturating_sub(top.leading_zeros() as usize);
    if top == 0 || bottom % 2 == 0 || !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(KeyError::Unsound("an RSA modulus is odd and has 2048 to 4096 bits without leading zeros"));
    }
    let exponent = e.iter().fold(0_u64, |sum, byte| sum.saturating_mul(256).saturating_add(u64::from(*byte)));
    if e.first() == Some(&0) || e.len() > RSA_EXPONENT_BYTES_MAX || exponent < 3 || exponent % 2 == 0 {
        return Err(KeyError::Unsound("an RSA exponent is odd, at least 3, and has no leading zeros"));
    }
    if is_roca(n) {
        return Err(KeyError::Unsound("the RSA modulus was made by a broken generator (CVE-2017-15361)"));
    }
    Ok(())
}

/// Whether the modulus bears the fingerprint of CVE-2017-15361: modulo each of
/// these primes it is a power of 65537. Chance does that for one key in 2^27.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u32; 20] = [3, 5, 7, 11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.iter().all(|&prime| {
        let remainder = n.iter().fold(0_u32, |rest, &byte| (rest * 256 + u32::from(byte)) % prime);
        let mut power = 1;
        for _ in 0..prime {
            if power == remainder {
                return true;
            }
            power = power * (65_537 % prime) % prime;
        }
        false
    })
}

/// Whether the point's order divides eight, in any of its encodings. A
/// signature under such a key fits messages that nobody signed.
fn has_small_order(x: &[u8; 32]) -> bool {
    const ORDER_8_A: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    const ORDER_8_B: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ];
    /// `lowest`, thirty bytes of `middle`, `highest`: y is 0, 1, p-1, p or p+1.
    const fn edge(lowest: u8, middle: u8, highest: u8) -> [u8; 32] {
        let mut bytes = [middle; 32];
        bytes[0] = lowest;
        bytes[31] = highest;
        bytes
    }
    let mut unsigned = *x;
    if let Some(top) = unsigned.last_mut() {
        *top &= 0x7f;
    }
    let weak = [
        edge(0, 0, 0),
        edge(1, 0, 0),
        edge(0xec, 0xff, 0x7f),
        edge(0xed, 0xff, 0x7f),
        edge(0xee, 0xff, 0x7f),
        ORDER_8_A,
        ORDER_8_B,
    ];
    weak.contains(&unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn thumbprints_are_those_of_the_standards() {
        // RFC 8037 Appendix A.3.
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let material = KeyMaterial::Ed25519 { x: x.try_into().unwrap() };
        assert_eq!(material.thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        // RFC 7638 §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let material = KeyMaterial::of_rsa(URL_SAFE_NO_PAD.decode(n).unwrap(), vec![1, 0, 1]);
        assert_eq!(material.thumbprint().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert!(material.public_key(None).is_ok());
    }

    #[test]
    fn small_order_points_are_refused_in_every_encoding() {
        let encodings = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        ];
        for encoding in encodings {
            let material = KeyMaterial::Ed25519 { x: hex(encoding).try_into().unwrap() };
            assert!(material.public_key(None).is_err(), "{encoding}");
        }
    }

    #[test]
    fn a_name_cannot_break_out_of_its_json() {
        let material = crate::test_keys::ed25519().material;
        for bad in ["", "a\"b", "a\\b", "a b", "a\nb", "ä", &"k".repeat(KID_BYTES_MAX + 1)] {
            assert_eq!(material.public_key(Some(bad)), Err(KeyError::Name), "{bad:?}");
        }
    }
}
