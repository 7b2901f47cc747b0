//! The book and the other pages: links that lead somewhere, a summary that
//! names every page, decisions in sequence, and every reason code explained.

use std::{collections::BTreeSet, path::Path};

use syn::{Item, visit::Visit};

use super::{Finding, TextFile};

const SUMMARY: &str = "docs/SUMMARY.md";
const DECISIONS: &str = "docs/decisions/";
const REASONS: &str = "docs/reasons.md";
const REASON_CODES: &str = "crates/model/src/decision.rs";

/// Checks all pages.
pub(super) fn check(root: &Path, files: &[TextFile]) -> Vec<Finding> {
    let pages: Vec<&TextFile> = files.iter().filter(|file| is_page(&file.path)).collect();
    let mut findings: Vec<Finding> = pages.iter().flat_map(|page| links(root, page, files)).collect();
    findings.extend(summary(&pages));
    findings.extend(decisions(&pages));
    findings.extend(reasons(files));
    findings
}

fn is_page(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "md")
}

/// Relative links lead to a file that is there, and to a heading that it has.
fn links(root: &Path, page: &TextFile, files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, target) in targets(&page.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let place = if path.is_empty() { Some(page.path.clone()) } else { resolve(&page.path, path) };
        let Some(place) = place.filter(|place| root.join(place).exists()) else {
            findings.push(Finding::error(&page.path, number, format!("`{target}` leads nowhere")));
            continue;
        };
        let aimed = files.iter().find(|file| file.path == place && is_page(&file.path));
        if let (false, Some(aimed)) = (anchor.is_empty(), aimed)
            && !anchors(&aimed.text).contains(anchor)
        {
            findings.push(Finding::error(&page.path, number, format!("`{place}` has no heading `#{anchor}`")));
        }
    }
    findings
}

/// Lines outside fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// The targets of `[text](target)`, with their lines.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let in_line = |line: &'_ str| -> Vec<(usize, usize)> {
        line.match_indices("](")
            .filter_map(|(at, mark)| {
                let start = at + mark.len();
                let length = line.get(start..)?.find(')')?;
                Some((start, start + length))
            })
            .collect()
    };
    prose(text)
        .flat_map(|(number, line)| {
            in_line(line).into_iter().filter_map(move |(from, to)| Some((number, line.get(from..to)?)))
        })
        .collect()
}

/// `docs/a.md` and `../b.md` give `b.md`.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            other => parts.push(other),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a page's headings, as mdBook and code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim())
    });
    headings.map(anchor).collect()
}

fn anchor(title: &str) -> String {
    let kept = title.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

/// Every page of the book is in its summary.
fn summary(pages: &[&TextFile]) -> Vec<Finding> {
    let Some(summary) = pages.iter().find(|page| page.path == SUMMARY) else {
        return vec![Finding::error(SUMMARY, 0, "the book has no summary")];
    };
    let named: BTreeSet<String> =
        targets(&summary.text).into_iter().filter_map(|(_, target)| resolve(SUMMARY, target)).collect();
    let chapters = pages.iter().filter(|page| page.path.starts_with("docs/") && page.path != SUMMARY);
    let missing = chapters.filter(|page| !named.contains(&page.path));
    missing.map(|page| Finding::error(&page.path, 0, format!("{SUMMARY} does not name this page"))).collect()
}

/// `0001-title.md`, `0002-title.md` and so on, no number twice, each with its number in its heading. A number that is
/// kept for work under way is a gap until that work lands.
fn decisions(pages: &[&TextFile]) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let found = pages.iter().filter(|page| page.path.starts_with(DECISIONS));
    let wrong = found.filter_map(|page| {
        let number = page.path.strip_prefix(DECISIONS)?.split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Finding::error(&page.path, 0, "a decision is `0001-title.md`, with a number of its own"));
        }
        if !seen.insert(number) {
            return Some(Finding::error(&page.path, 0, format!("there is another decision `{number}`")));
        }
        let titled = page.text.starts_with(&format!("# {number} "));
        (!titled).then(|| Finding::error(&page.path, 1, format!("start with the heading `# {number} Title`")))
    });
    wrong.collect()
}

/// Every reason code of the model has its heading in the book, and the book names no other.
fn reasons(files: &[TextFile]) -> Vec<Finding> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let (Some(page), Some(code)) = (find(REASONS), find(REASON_CODES)) else {
        return vec![Finding::error(REASONS, 0, format!("this page explains every code of {REASON_CODES}"))];
    };
    let mut codes = ReasonCodes::default();
    match syn::parse_file(&code.text) {
        Ok(syntax) => codes.visit_file(&syntax),
        Err(_) => return Vec::new(),
    }
    let told: BTreeSet<String> = prose(&page.text)
        .filter_map(|(_, line)| Some(line.strip_prefix("## `")?.strip_suffix('`')?.to_owned()))
        .collect();
    let untold = codes.0.difference(&told).map(|code| format!("the reason `{code}` has no heading here"));
    let unknown = told.difference(&codes.0).map(|code| format!("there is no reason `{code}`"));
    untold.chain(unknown).map(|message| Finding::error(REASONS, 0, message)).collect()
}

/// The variants of `ReasonCode`, in snake case.
#[derive(Default)]
struct ReasonCodes(BTreeSet<String>);

impl<'ast> Visit<'ast> for ReasonCodes {
    fn visit_item(&mut self, item: &'ast Item) {
        if let Item::Enum(found) = item
            && found.ident == "ReasonCode"
        {
            self.0.extend(found.variants.iter().map(|variant| snake(&variant.ident.to_string())));
        }
    }
}

fn snake(upper_camel: &str) -> String {
    let mut out = String::new();
    for c in upper_camel.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn links_are_read_outside_code_only() {
        let text = "See [a](a.md) and [b](b.md#c).\n```\n[no](no.md)\n```\n[d](d.md)";
        assert_eq!(targets(text), [(1, "a.md"), (1, "b.md#c"), (5, "d.md")]);
    }

    #[test]
    fn links_resolve_from_their_page() {
        assert_eq!(resolve("docs/a/b.md", "../c.md").as_deref(), Some("docs/c.md"));
        assert_eq!(resolve("a.md", "../c.md"), None);
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(anchor("Life of a call"), "life-of-a-call");
        assert_eq!(anchor("`no_permit`"), "no_permit");
    }

    #[test]
    fn a_page_that_the_summary_forgets_is_found() {
        let (all, forgotten) = (page(SUMMARY, "- [A](a.md)\n"), page("docs/b.md", "# B\n"));
        let known = page("docs/a.md", "# A\n");
        let found = summary(&[&all, &known, &forgotten]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "docs/b.md");
    }

    #[test]
    fn decisions_have_a_number_of_their_own() {
        let (first, third) =
            (page("docs/decisions/0001-a.md", "# 0001 A\n"), page("docs/decisions/0003-c.md", "# 0003 C\n"));
        assert_eq!(decisions(&[&first, &third]), [], "a gap is for work under way");
        let (again, other) =
            (page("docs/decisions/0001-b.md", "# 0001 B\n"), page("docs/decisions/0004-d.md", "# 0005 D\n"));
        assert_eq!(decisions(&[&first, &again]).len(), 1);
        assert_eq!(decisions(&[&other]).len(), 1);
        assert_eq!(decisions(&[&page("docs/decisions/one.md", "# one\n")]).len(), 1);
    }

    #[test]
    fn a_reason_without_a_word_of_help_is_found() {
        let code = page(REASON_CODES, "enum ReasonCode { NoPermit, TaskPin }");
        let told = page(REASONS, "## `no_permit`\n## `made_up`\n");
        let messages: Vec<_> = reasons(&[code, told]).into_iter().map(|finding| finding.message).collect();
        assert_eq!(messages, ["the reason `task_pin` has no heading here", "there is no reason `made_up`"]);
    }
}
