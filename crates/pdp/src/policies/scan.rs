//! Looks over policy text before Cedar does: how long a policy is and how
//! deeply it nests. Cedar's parser recurses, and text must not end the process.

/// Bytes of one policy, its annotations and comments included.
pub(super) const POLICY_BYTES_MAX: usize = 16 * 1024;
/// Brackets within brackets of one policy.
pub(super) const NESTING_MAX: usize = 32;

/// Operators of one character (`.`, `+`, `-`, `*`, `<`, `>`) of one policy: they chain in few bytes.
pub(super) const OPERATORS_MAX: usize = 1_024;

/// What is too much, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooMuch {
    /// A policy is too long; the offset at which it begins.
    Bytes(usize),
    /// Brackets nest too deeply; the offset of the one that is too much.
    Nesting(usize),
    /// Too many operators; the offset at which their policy begins.
    Operators(usize),
}

/// What is too much about a text, if something is.
pub(super) fn too_much(text: &str) -> Option<TooMuch> {
    let mut begin = 0;
    let mut depth = 0_usize;
    let mut operators = 0_usize;
    let mut quoted = false;
    let mut escaped = false;
    let mut comment = false;
    let mut previous = b' ';
    for (offset, byte) in text.bytes().enumerate() {
        let opened_comment = !quoted && previous == b'/' && byte == b'/';
        previous = byte;
        if comment {
            comment = byte != b'\n';
        } else if quoted {
            quoted = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if opened_comment {
            comment = true;
        } else {
            match byte {
                b'"' => quoted = true,
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b'.' | b'+' | b'-' | b'*' | b'<' | b'>' => operators += 1,
                b';' => (begin, operators) = (offset + 1, 0),
                _ => {}
            }
        }
        if depth > NESTING_MAX {
            return Some(TooMuch::Nesting(offset));
        }
        if operators > OPERATORS_MAX {
            return Some(TooMuch::Operators(begin));
        }
        if offset.saturating_sub(begin) >= POLICY_BYTES_MAX {
            return Some(TooMuch::Bytes(begin));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_brackets_outside_of_strings_and_comments() {
        let deep = |count: usize| format!("{}true{}", "(".repeat(count), ")".repeat(count));
        assert_eq!(too_much(&deep(NESTING_MAX)), None);
        assert_eq!(too_much(&deep(NESTING_MAX + 1)), Some(TooMuch::Nesting(NESTING_MAX)));
        assert_eq!(too_much(&format!("\"\\\"{}\" ;", "(".repeat(40))), None);
        assert_eq!(too_much(&format!("// \" {}\n ;", "(".repeat(40))), None);
        assert_eq!(too_much(&format!("\"//\"{}", "(".repeat(40))), Some(TooMuch::Nesting(4 + NESTING_MAX)));
    }

    #[test]
    fn counts_operators_of_each_policy() {
        let policy = format!("{}\"...\";", ".a".repeat(OPERATORS_MAX));
        assert_eq!(too_much(&policy.repeat(3)), None);
        assert_eq!(
            too_much(&format!("{policy}{}", "1+".repeat(OPERATORS_MAX + 1))),
            Some(TooMuch::Operators(policy.len()))
        );
    }

    #[test]
    fn counts_bytes_of_each_policy() {
        let policy = format!("{};", "a".repeat(POLICY_BYTES_MAX - 1));
        assert_eq!(too_much(&policy.repeat(3)), None);
        assert_eq!(
            too_much(&format!("{policy}{}", "a".repeat(POLICY_BYTES_MAX + 1))),
            Some(TooMuch::Bytes(policy.len()))
        );
    }
}
