//! PEM with one block (RFC 7468, strict form). Says nothing about what is inside.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Bytes of one PEM text.
pub const PEM_BYTES_MAX: usize = 16 * 1_024;

/// Text that is not one PEM block with the expected label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not one PEM block with the label `{expected}`")]
pub struct PemError {
    expected: &'static str,
}

/// The bytes of the only block, which must carry `label`.
pub fn decode(label: &'static str, text: &str) -> Result<Vec<u8>, PemError> {
    let error = || PemError { expected: label };
    if text.len() > PEM_BYTES_MAX {
        return Err(error());
    }
    let body = text
        .trim()
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.strip_prefix(label))
        .and_then(|rest| rest.strip_prefix("-----"))
        .and_then(|rest| rest.strip_suffix("-----"))
        .and_then(|rest| rest.strip_suffix(label))
        .and_then(|rest| rest.strip_suffix("-----END "))
        .ok_or_else(error)?;
    let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).map_err(|_| error())
}

/// One block with lines of 64 characters.
pub fn encode(label: &str, bytes: &[u8]) -> String {
    let digits = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = digits.as_str();
    while !rest.is_empty() {
        let (line, further) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = further;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_every_length() {
        for length in 0..200 {
            let bytes = vec![7; length];
            assert_eq!(decode("PUBLIC KEY", &encode("PUBLIC KEY", &bytes)), Ok(bytes));
        }
    }

    #[test]
    fn refuses_other_labels_and_several_blocks() {
        let block = encode("PUBLIC KEY", b"abc");
        for bad in [encode("PRIVATE KEY", b"abc"), block.repeat(2), block.replace("YWJj", "YW-j"), String::new()] {
            assert!(decode("PUBLIC KEY", &bad).is_err(), "{bad}");
        }
    }
}
