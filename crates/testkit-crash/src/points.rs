//! The moments of a run at which something more became persistent, counted as strace counts them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::recording::path;

/// One system call of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub call: String,
    /// Its number among the calls of this name of its thread, from 1.
    pub number: usize,
    /// Its number among those of them that are about the same file, from 1.
    pub number_on_file: usize,
    /// Its thread.
    pub thread: String,
    /// The file that it was about.
    pub file: PathBuf,
}

/// All calls on these files that a run began, in order. The output must be one of `-xx -y`.
pub fn points(told: &str, mut is_of: impl FnMut(&Path) -> bool) -> Vec<Point> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut counts_on_files: BTreeMap<(&str, &str, PathBuf), usize> = BTreeMap::new();
    let begun = told.lines().filter_map(|line| {
        let (thread, rest) = line.split_once(' ')?;
        let (call, arguments) = rest.trim_start().split_once('(')?;
        call.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some((thread, call, arguments))
    });
    let point = |(thread, call, arguments)| {
        let file = file(arguments);
        if !is_of(&file) {
            return None;
        }
        let number = counts.entry((thread, call)).or_default();
        *number += 1;
        let on_file = counts_on_files.entry((thread, call, file.clone())).or_default();
        *on_file += 1;
        let (call, thread) = (str::to_owned(call), str::to_owned(thread));
        Some(Point { call, number: *number, number_on_file: *on_file, thread, file })
    };
    begun.filter_map(point).collect()
}

/// `3<path>, …`, `"path", …` or `AT_FDCWD<folder>, "path", …`.
fn file(arguments: &str) -> PathBuf {
    let between = |start: char, end: char| Some(arguments.split_once(start)?.1.split_once(end)?.0);
    let named = (!arguments.starts_with(|first: char| first.is_ascii_digit())).then(|| between('"', '"')).flatten();
    path(named.or_else(|| between('<', '>')).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_per_thread() {
        let told = "\
            1 fsync(3<\\x2f\\x61> <unfinished ...>\n\
            2 fsync(4<\\x2f\\x62>)                = 0\n\
            1 <... fsync resumed>)                = 0\n\
            1 fsync(3<\\x2f\\x61>)                = -1 EIO (x) (INJECTED)\n\
            1 unlink(\"\\x2f\\x63\") = 0\n\
            2 openat(AT_FDCWD<\\x2f>, \"\\x2f\\x64\", O_RDONLY) = 5<\\x2f\\x64>\n\
            1 +++ killed by SIGKILL +++\n";
        let found: Vec<_> = points(told, |_| true).into_iter().map(|p| (p.thread, p.call, p.number, p.file)).collect();
        let expected = [
            ("1", "fsync", 1, "/a"),
            ("2", "fsync", 1, "/b"),
            ("1", "fsync", 2, "/a"),
            ("1", "unlink", 1, "/c"),
            ("2", "openat", 1, "/d"),
        ];
        let expected = expected.map(|(t, c, n, f)| (t.to_owned(), c.to_owned(), n, PathBuf::from(f)));
        assert_eq!(found, expected);
        let of_b: Vec<_> = points(told, |file| file == Path::new("/b")).into_iter().map(|p| p.number).collect();
        assert_eq!(of_b, [1]);
        let told = "1 fsync(3<\\x2f\\x61>) = 0\n1 fsync(4<\\x2f\\x62>) = 0\n1 fsync(3<\\x2f\\x61>) = 0\n";
        let on_file: Vec<_> = points(told, |_| true).into_iter().map(|p| (p.number, p.number_on_file)).collect();
        assert_eq!(on_file, [(1, 1), (2, 1), (3, 2)]);
    }
}
