//! What no tracked file may hold: the paths of somebody's machine, and the hosts of a package registry.

use super::{Finding, TextFile};

/// Files made by tools, or that name what they forbid.
const EXEMPT: &[&str] = &["Cargo.lock", "xtask/src/tidy/text.rs", "LICENSE"];
/// Folders in which people's own files lie, as they start an absolute path.
const MACHINE_FOLDERS: &[&str] = &["/home/", "/root/", "/work/", "/Users/"];
/// Those of them that hold a folder per person, whose name begins with no dot: `…/.search` is an endpoint of SCIM.
const PEOPLES_FOLDERS: &[&str] = &["/home/", "/Users/"];
/// Labels of hosts that serve packages: configuration of a machine, never of this repository.
const REGISTRY_LABELS: &[&str] = &["artifactory", "deb", "files", "index", "mirror", "pypi", "registry", "static"];

/// Looks through one file.
pub(super) fn check(file: &TextFile) -> Vec<Finding> {
    if EXEMPT.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let numbered = file.text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter_map(|(number, line)| Some(Finding::error(&file.path, number, complaint(line)?))).collect()
}

fn complaint(line: &str) -> Option<String> {
    if let Some(folder) = MACHINE_FOLDERS.iter().find(|folder| starts_a_path(line, folder)) {
        return Some(format!("`{folder}…` is a path of one machine; use a relative one"));
    }
    let host = hosts(line)
        .filter(|host| host.contains('.'))
        .find(|host| host.split('.').any(|label| REGISTRY_LABELS.contains(&label)))?;
    Some(format!("`{host}` is a registry's host; that belongs into the machine's configuration"))
}

/// The hosts of all URLs in a line, in lower case.
fn hosts(line: &str) -> impl Iterator<Item = String> {
    line.split("://").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().to_lowercase()
    })
}

/// Whether `folder` stands in `line` as the start of an absolute path with something after it.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + folder.len()..).and_then(|text| text.chars().next());
        let begins = |c: char| c != '.' || !PEOPLES_FOLDERS.contains(&folder);
        let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !before.is_some_and(|c| goes_on(c) || matches!(c, '/' | '*' | '}' | ')'))
            && after.is_some_and(|c| goes_on(c) && begins(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_machines_are_found_and_others_are_not() {
        for bad in ["see /home/jane/x", "\"/root/.ssh\"", "cd /work/main", "/Users/joe"] {
            assert!(complaint(bad).is_some(), "{bad}");
        }
        for good in [
            "https://example.com/work/x",
            "target/work/x",
            "the /home/ folder",
            "at work",
            "a/root/b",
            "/Users/.search",
        ] {
            assert!(complaint(good).is_none(), "{good}");
        }
    }

    #[test]
    fn registry_hosts_are_found_and_names_of_registries_are_not() {
        for bad in ["url = \"https://registry.example.org/\"", "see https://deb.Mirror.example/debian"] {
            assert!(complaint(bad).is_some(), "{bad}");
        }
        for good in ["it is on PyPI and npm", "https://www.example.org/index/static", "http://127.0.0.1:1/registry"] {
            assert!(complaint(good).is_none(), "{good}");
        }
    }
}
