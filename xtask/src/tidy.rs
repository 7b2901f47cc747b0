//! `cargo xtask tidy`: what STYLE.md says that a program can check.
//!
//! Reads the files that git knows and cargo's metadata; never compiles and never changes a file.

mod abuse;
mod docs;
mod edges;
mod source;
mod text;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::{
    outcome::Failure,
    say,
    step::{command, read},
};

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, relative to the root.
    pub(crate) path: String,
    /// Its line, from 1; 0 is the whole file.
    pub(crate) line: usize,
    /// Whether it fails the check.
    pub(crate) fails: bool,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Finding {
    /// Something that fails the check.
    pub(crate) fn error(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, fails: true, message: message.into() }
    }

    /// Something to look at.
    pub(crate) fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { fails: false, ..Self::error(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.fails { "error" } else { "warning" };
        write!(f, "{level}: {}:{}: {}", self.path, self.line, self.message)
    }
}

/// A tracked text file.
pub(crate) struct TextFile {
    /// Its path, relative to the root, with `/`.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

/// Checks everything and prints what is to mend.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let files = tracked(root)?;
    let mut findings = Vec::new();
    for file in &files {
        findings.extend(text::check(file));
        if is_rust(&file.path) {
            findings.extend(source::check(file));
        }
    }
    findings.extend(docs::check(root, &files));
    findings.extend(abuse::check(&files));
    findings.extend(edges::check(root)?);
    findings.sort();
    for finding in &findings {
        say::err(finding);
    }
    let errors = findings.iter().filter(|finding| finding.fails).count();
    let warnings = findings.len() - errors;
    let sizes = source::sizes(&files);
    say::err(format_args!(
        "{} files of Rust: median {} lines, 90th percentile {}; {errors} errors, {warnings} warnings",
        sizes.files, sizes.median, sizes.percentile_90
    ));
    if errors == 0 { Ok(()) } else { Err(Failure::new(format!("{errors} findings to mend"))) }
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// The files that git tracks or would, as far as they are text.
fn tracked(root: &Path) -> Result<Vec<TextFile>, Failure> {
    let list = read(&mut command(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        let place: PathBuf = root.join(path);
        // A file deleted in the work tree but still in the index has nothing to check.
        let Ok(bytes) = fs::read(&place) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(TextFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}
