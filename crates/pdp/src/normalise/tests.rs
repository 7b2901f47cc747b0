//! Spellings that must become one, and spellings that must be refused.

use proptest::prelude::*;

use super::*;

fn check(normaliser: Normaliser, cases: &[(&str, &str)]) {
    for (written, expected) in cases {
        assert_eq!(normaliser.apply(written).as_deref(), Ok(*expected), "{written:?}");
    }
}

fn check_refused(normaliser: Normaliser, cases: &[&str]) {
    for written in cases {
        assert!(normaliser.apply(written).is_err(), "{written:?} became {:?}", normaliser.apply(written));
    }
}

#[test]
fn paths_have_one_spelling() {
    check(
        Normaliser::Path,
        &[
            ("/", "/"),
            ("//", "/"),
            ("/data", "/data"),
            ("/data/", "/data"),
            ("//data///a", "/data/a"),
            ("/data/./a/.", "/data/a"),
            ("/data/../etc/passwd", "/etc/passwd"),
            ("/../../etc", "/etc"),
            ("/data/...", "/data/..."),
            ("/data/%2e%2e/etc", "/data/%2e%2e/etc"),
            ("/data/ü b", "/data/ü b"),
        ],
    );
    check_refused(
        Normaliser::Path,
        &[
            "",
            "data/a",
            "./data",
            "~/a",
            "C:\\a",
            "/data\\..\\etc",
            "/data/a\0.txt",
            "/data/a\u{202e}txt.exe",
            "/a\nb",
            "/a\u{200b}",
        ],
    );
}

#[test]
fn a_folder_holds_by_component() {
    for (folder, path, under) in [
        ("/data", "/data", true),
        ("/data", "/data/a/b", true),
        ("/data/", "/data/a", true),
        ("/data", "/database", false),
        ("/data", "/data/../etc/passwd", false),
        ("/", "/etc", true),
        ("/data/a", "/data", false),
        ("/Data", "/data/a", false),
    ] {
        assert_eq!(path_is_under(folder, path), Ok(under), "{path} under {folder}");
    }
    assert!(path_is_under("/data", "data/a").is_err());
}

#[test]
fn urls_have_one_spelling() {
    check(
        Normaliser::Url,
        &[
            ("HTTPS://API.Example.COM:443/a/../b", "https://api.example.com/b"),
            ("http://example.com", "http://example.com/"),
            ("http://example.com.:8080/x?q=1", "http://example.com:8080/x?q=1"),
            ("https://example.com/%61dmin/%7Ejoe?x=%2fy", "https://example.com/admin/~joe?x=%2Fy"),
            ("https://example.com/%2e%2e/admin", "https://example.com/admin"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("file:///data/../etc/passwd", "file:///etc/passwd"),
            ("memo://insights", "memo://insights"),
            ("test://static/resource/1", "test://static/resource/1"),
            ("https://gitlab.example/api/group%2Fproject", "https://gitlab.example/api/group%2Fproject"),
        ],
    );
    check_refused(
        Normaliser::Url,
        &[
            "",
            "/relative",
            "example.com/x",
            "https://user@example.com/",
            "https://@example.com/",
            "https://user:password@example.com/",
            "https://good.example\\@evil.example/",
            "https://example.com/#fragment",
            "https://example.com/#",
            "https://example.com/a%2f..%2fadmin",
            "https://example.com/a/%252e%252e%252fadmin",
            "https://example.com/a%5c..%5cadmin",
            "file:///data/%2e%2e%2fetc/passwd",
            "file:///data/a%00.txt",
            "https://example.com/%zz",
            " https://example.com/",
            "https://exa\tmple.com/",
            "https://exam\u{200b}ple.com/",
        ],
    );
}

#[test]
fn mail_addresses_have_one_spelling() {
    check(
        Normaliser::Email,
        &[
            ("Jo.Doe+x@Example.COM", "Jo.Doe+x@example.com"),
            ("jo@example.com.", "jo@example.com"),
            ("jo@bücher.example", "jo@xn--bcher-kva.example"),
        ],
    );
    check_refused(
        Normaliser::Email,
        &[
            "",
            "jo",
            "@example.com",
            "jo@",
            "jo@localhost",
            "jo@@example.com",
            "jo@a@example.com",
            "Jo <jo@example.com>",
            "\"jo\"@example.com",
            "jo(comment)@example.com",
            "jo@example.com,eve@example.org",
            "jo@example.com;eve@example.org",
            "jo@example.com\r\nBcc: eve@example.org",
            "jo%evil.example@example.com",
            "evil!jo@example.com",
            "jo@[127.0.0.1]",
            "jo@127.0.0.1",
            "jö@example.com",
            ".jo@example.com",
            "jo@-example.com",
            "jo@exam%70le.com",
        ],
    );
}

#[test]
fn a_value_that_is_too_long_is_refused() {
    let long = format!("/{}", "a".repeat(NORMALISED_BYTES_MAX));
    assert!(path(&long).is_err());
    assert!(path(&long[..NORMALISED_BYTES_MAX]).is_ok());
}

proptest! {
    #[test]
    fn paths_are_normalised_once(text in "/([a-z.%/ ]|\\.\\.|//){0,24}") {
        let once = path(&text).unwrap();
        prop_assert_eq!(path(&once), Ok(once.clone()));
        prop_assert!(once.split('/').skip(1).all(|component| !matches!(component, "." | "..")));
    }

    #[test]
    fn urls_are_normalised_once(text in "(https?|HTTP|file|memo)://[a-zA-Z0-9.-]{1,12}(:[0-9]{1,4})?/([a-z%.?=&/ 0-9]|%2[eEfF]|%61){0,24}") {
        if let Ok(once) = url(&text) {
            prop_assert_eq!(url(&once), Ok(once.clone()));
        }
    }

    #[test]
    fn mail_addresses_are_normalised_once(text in "[a-zA-Z.+]{1,8}@[a-zA-Z0-9.-]{1,12}\\.[a-z]{2,3}") {
        if let Ok(once) = email(&text) {
            prop_assert_eq!(email(&once), Ok(once.clone()));
        }
    }

    #[test]
    fn any_text_is_normalised_once(text in "\\PC{0,24}") {
        for normaliser in [Normaliser::Path, Normaliser::Url, Normaliser::Email] {
            if let Ok(once) = normaliser.apply(&text) {
                prop_assert_eq!(normaliser.apply(&once), Ok(once.clone()));
            }
        }
    }

    #[test]
    fn a_folder_holds_what_is_joined_to_it(folder in "(/[a-c]{1,2}){0,3}", rest in "(/[a-c]{1,2}){1,3}") {
        let folder = if folder.is_empty() { String::from("/") } else { folder };
        prop_assert_eq!(path_is_under(&folder, &format!("{folder}{rest}")), Ok(true));
        // A name that only starts like the folder is beside it, not under it.
        prop_assert_eq!(path_is_under(&folder, &format!("{}x", folder)), Ok(folder == "/"));
        prop_assert_eq!(path_is_under(&format!("{folder}{rest}"), &folder), Ok(false));
    }

    #[test]
    fn under_is_a_prefix_of_components(folder in "(/[ab.]{1,2}){0,4}/", text in "(/[ab.]{1,2}){1,5}") {
        let components = |text: &str| path(text).unwrap().split('/').filter(|c| !c.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(path_is_under(&folder, &text).unwrap(), components(&text).starts_with(&components(&folder)));
    }
}
