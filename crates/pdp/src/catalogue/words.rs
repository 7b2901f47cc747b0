//! What the name of an argument or a tool says, word by word. Only ever a hint
//! to a person: nothing is enforced because of a name.

use crate::normalise::Normaliser;

/// The words of `readTextFile`, `read_text_file`, `read-text-file`, in lower case.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous: Option<char> = None;
    for character in name.chars() {
        let lower_before = previous.is_some_and(|p| p.is_lowercase() || p.is_ascii_digit());
        if !character.is_alphanumeric() {
            previous = None;
            continue;
        }
        match words.last_mut() {
            Some(word) if previous.is_some() && !(character.is_uppercase() && lower_before) => {
                word.extend(character.to_lowercase());
            }
            _ => words.push(character.to_lowercase().collect()),
        }
        previous = Some(character);
    }
    words
}

/// The normaliser that an argument of this name most likely needs.
pub(crate) fn normaliser_of(name: &str) -> Option<Normaliser> {
    words(name).iter().rev().find_map(|word| match word.as_str() {
        "path" | "paths" | "filepath" | "filepaths" | "dir" | "dirs" | "directory" | "directories" | "folder"
        | "folders" => Some(Normaliser::Path),
        "url" | "urls" | "uri" | "uris" => Some(Normaliser::Url),
        "email" | "emails" | "recipient" | "recipients" => Some(Normaliser::Email),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_words() {
        for (name, expected) in [
            ("read_text_file", vec!["read", "text", "file"]),
            ("readTextFile", vec!["read", "text", "file"]),
            ("read-text.file2", vec!["read", "text", "file2"]),
            ("getURL", vec!["get", "url"]),
            ("", vec![]),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }

    #[test]
    fn names_hint_at_normalisers() {
        assert_eq!(normaliser_of("repo_path"), Some(Normaliser::Path));
        assert_eq!(normaliser_of("callbackUrl"), Some(Normaliser::Url));
        assert_eq!(normaliser_of("cc_emails"), Some(Normaliser::Email));
        assert_eq!(normaliser_of("pattern"), None);
    }
}
