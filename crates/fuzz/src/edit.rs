//! Changes to an honest text. Random bytes never come near a signed token; an honest one with a few bytes changed is as
//! near as a forger gets without the key.

/// Bytes of `data` per change: what to do, where (two), and a byte to do it with.
const CHANGE: usize = 4;

/// `honest` after the changes that `data` describes, as far as the outcome is text.
pub fn edited(honest: &str, data: &[u8]) -> Option<String> {
    let mut text = honest.as_bytes().to_vec();
    for change in data.chunks_exact(CHANGE) {
        if text.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([change[1], change[2]])) % text.len();
        match change[0] % 6 {
            0 => text[at] = change[3],
            1 => drop(text.remove(at)),
            2 => text.insert(at, change[3]),
            3 => text[at] ^= 1 << (change[3] % 8),
            4 => text.truncate(at),
            _ => {
                let piece = text[at..(at + usize::from(change[3])).min(text.len())].to_vec();
                text.extend(piece);
            }
        }
    }
    String::from_utf8(text).ok()
}
