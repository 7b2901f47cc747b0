//! The budgets of Rust files: length of files, functions and inline tests, what
//! `lib.rs` holds, the words that a file starts with, and names that say nothing.
//!
//! Arguments per function are clippy's (`too-many-arguments-threshold`).

use syn::{
    Attribute, Block, Ident, Item, ItemEnum, ItemFn, ItemMod, ItemStruct, Meta, Signature, TraitItemFn,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use super::{Finding, TextFile, is_rust};

/// Lines of a file, its tests not counted: warn above.
const FILE_LINES_WARN: usize = 400;
/// Lines of a file, its tests not counted: fail above.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function: warn above.
const FUNCTION_LINES_WARN: usize = 60;
/// Lines of a function: fail above.
const FUNCTION_LINES_MAX: usize = 80;
/// Lines of tests inside a file of code: fail above.
const INLINE_TEST_LINES_MAX: usize = 150;
/// Names of modules that promise nothing.
const EMPTY_NAMES: &[&str] =
    &["common", "dto", "helper", "helpers", "manager", "managers", "mapper", "misc", "util", "utils", "usecase"];
/// Ends of type names that add nothing.
const EMPTY_ENDS: &[&str] = &["Impl", "Manager", "Helper", "Util", "Utils"];

/// Checks one file.
pub(super) fn check(file: &TextFile) -> Vec<Finding> {
    let path = &file.path;
    let mut findings = Vec::new();
    if !file.text.starts_with("//!") {
        findings.push(Finding::error(path, 1, "start with `//!`: what the file is for and what it must not do"));
    }
    let stem = stem(path);
    if EMPTY_NAMES.contains(&stem) {
        findings.push(Finding::error(path, 0, format!("`{stem}` says nothing; name the file after what it holds")));
    }
    let syntax = match syn::parse_file(&file.text) {
        Ok(syntax) => syntax,
        Err(error) => {
            findings.push(Finding::error(path, error.span().start().line, format!("does not parse: {error}")));
            return findings;
        }
    };
    let mut reader = Reader { path, in_tests: is_test_file(path), in_trait: false, test_lines: 0, findings };
    reader.visit_file(&syntax);
    let Reader { test_lines, mut findings, .. } = reader;
    if test_lines > INLINE_TEST_LINES_MAX {
        let message =
            format!("{test_lines} lines of inline tests; above {INLINE_TEST_LINES_MAX} they go to `{stem}/tests.rs`");
        findings.push(Finding::error(path, 0, message));
    }
    if !is_test_file(path) {
        let lines = file.text.lines().count().saturating_sub(test_lines);
        findings.extend(budget(path, 0, "the file", lines, FILE_LINES_WARN, FILE_LINES_MAX));
    }
    if stem == "lib" {
        findings.extend(syntax.items.iter().filter(|item| !belongs_in_lib(item)).map(|item| {
            Finding::error(path, item.span().start().line, "lib.rs holds docs, modules and re-exports only")
        }));
    }
    findings
}

/// How long the files are.
pub(super) struct Sizes {
    /// How many there are.
    pub(super) files: usize,
    /// Half of them have at most so many lines.
    pub(super) median: usize,
    /// Nine of ten have at most so many lines.
    pub(super) percentile_90: usize,
}

/// The sizes of all Rust files that are not tests.
pub(super) fn sizes(files: &[TextFile]) -> Sizes {
    let code = files.iter().filter(|file| is_rust(&file.path) && !is_test_file(&file.path));
    let mut lines: Vec<usize> = code.map(|file| file.text.lines().count()).collect();
    lines.sort_unstable();
    let at = |tenths: usize| lines.get(lines.len() * tenths / 10).copied().unwrap_or(0);
    Sizes { files: lines.len(), median: at(5), percentile_90: at(9) }
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".rs").unwrap_or(name)
}

fn is_test_file(path: &str) -> bool {
    stem(path) == "tests" || path.split('/').any(|folder| folder == "tests" || folder == "benches")
}

fn belongs_in_lib(item: &Item) -> bool {
    match item {
        Item::Mod(module) => module.content.is_none() || is_test_only(&module.attrs),
        Item::Use(_) | Item::ExternCrate(_) => true,
        _ => false,
    }
}

fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

fn budget(path: &str, line: usize, what: &str, lines: usize, warn: usize, max: usize) -> Option<Finding> {
    if lines > max {
        Some(Finding::error(path, line, format!("{what} has {lines} lines; {max} is the most")))
    } else if lines > warn {
        Some(Finding::warning(path, line, format!("{what} has {lines} lines; aim for at most {warn}")))
    } else {
        None
    }
}

/// Walks one file.
struct Reader<'a> {
    path: &'a str,
    in_tests: bool,
    /// Inside `impl Trait for Type`, where the trait gives the names.
    in_trait: bool,
    test_lines: usize,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn function(&mut self, signature: &Signature, block: &Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        let what = format!("`{}`", signature.ident);
        if !self.in_tests {
            let lines = last - first + 1;
            self.findings.extend(budget(self.path, first, &what, lines, FUNCTION_LINES_WARN, FUNCTION_LINES_MAX));
        }
        if !self.in_trait && signature.ident.to_string().starts_with("get_") {
            self.findings.push(Finding::error(self.path, first, format!("{what}: no `get_`; name what it gives")));
        }
    }

    fn type_name(&mut self, name: &Ident) {
        let text = name.to_string();
        let line = name.span().start().line;
        if text == "Request" {
            let message = "`Request` alone is no type's name: say whose";
            self.findings.push(Finding::error(self.path, line, message));
        }
        if let Some(end) = EMPTY_ENDS.iter().find(|end| text.ends_with(**end)) {
            self.findings.push(Finding::error(self.path, line, format!("`{text}`: `{end}` adds nothing to a name")));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let tests = module.content.is_some() && is_test_only(&module.attrs);
        if tests && !self.in_tests {
            self.test_lines += module.span().end().line - module.span().start().line + 1;
            self.in_tests = true;
            visit::visit_item_mod(self, module);
            self.in_tests = false;
        } else {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let outer = std::mem::replace(&mut self.in_trait, item.trait_.is_some());
        visit::visit_item_impl(self, item);
        self.in_trait = outer;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.function(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.type_name(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        self.type_name(&item.ident);
        visit::visit_item_enum(self, item);
    }
}

#[cfg(test)]
mod tests;
