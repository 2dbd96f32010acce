//! Checks on source text: headers, lengths, what may not be left behind.

use proc_macro2::{TokenStream, TokenTree};
use syn::{spanned::Spanned, visit::Visit};

use super::{Violation, assert_none, shown, texts};
use crate::run::root;

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The first line says what the file is.
fn header(path: &str, text: &str) -> Vec<Violation> {
    if text.starts_with("//!") {
        return Vec::new();
    }
    vec![Violation::new(path, 1, "does not start with `//!`")]
}

fn file_length(path: &str, text: &str) -> Vec<Violation> {
    let lines = text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![Violation::new(path, 0, format!("{lines} lines; at most {FILE_LINES_MAX}"))]
}

/// From the line of `fn` to the line of the closing brace; attributes and documentation do not count.
fn function_length(path: &str, text: &str) -> Vec<Violation> {
    struct Functions<'a> {
        path: &'a str,
        violations: Vec<Violation>,
    }
    impl Functions<'_> {
        fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
            let first = signature.span().start().line;
            let lines = block.brace_token.span.close().end().line - first + 1;
            if lines > FUNCTION_LINES_MAX {
                let what = format!("fn {} has {lines} lines; at most {FUNCTION_LINES_MAX}", signature.ident);
                self.violations.push(Violation::new(self.path, first, what));
            }
        }
    }
    impl<'ast> Visit<'ast> for Functions<'_> {
        fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
            self.measure(&node.sig, &node.block);
            syn::visit::visit_item_fn(self, node);
        }
        fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
            self.measure(&node.sig, &node.block);
            syn::visit::visit_impl_item_fn(self, node);
        }
        fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
            if let Some(block) = &node.default {
                self.measure(&node.sig, block);
            }
            syn::visit::visit_trait_item_fn(self, node);
        }
    }
    match syn::parse_file(text) {
        Ok(file) => {
            let mut functions = Functions { path, violations: Vec::new() };
            functions.visit_file(&file);
            functions.violations
        }
        Err(error) => vec![Violation::new(path, error.span().start().line, format!("does not parse: {error}"))],
    }
}

/// What may be written while working but not be left behind, by token, so that comments and texts are free to name it.
fn leftovers(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    // A file that does not parse is reported by `function_length`.
    if let Ok(tokens) = text.parse::<TokenStream>() {
        leftover_tokens(path, tokens, &mut violations);
    }
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let fence = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim_start);
        let words = fence.and_then(|text| text.strip_prefix("```")).unwrap_or_default();
        if words.split(',').any(|word| matches!(word.trim(), "ignore" | "should_panic")) {
            violations.push(Violation::new(path, number + 1, "an example that is not run, or that must panic"));
        }
    }
    violations
}

fn leftover_tokens(path: &str, tokens: TokenStream, violations: &mut Vec<Violation>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (place, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) => {
                let called = matches!(tokens.get(place + 1), Some(TokenTree::Punct(mark)) if mark.as_char() == '!');
                let name = name.to_string();
                if name == "should_panic" || called && ["dbg", "todo", "unimplemented"].contains(&name.as_str()) {
                    violations.push(Violation::new(path, token.span().start().line, format!("`{name}`")));
                }
            }
            TokenTree::Group(group) => {
                let attribute =
                    place > 0 && matches!(&tokens[place - 1], TokenTree::Punct(mark) if mark.as_char() == '#');
                if attribute && mentions_ignore(group.stream()) {
                    violations.push(Violation::new(path, token.span().start().line, "`#[ignore]`"));
                }
                leftover_tokens(path, group.stream(), violations);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// `ignore` as the attribute itself or as one that `cfg_attr` gives.
fn mentions_ignore(attribute: TokenStream) -> bool {
    let tokens: Vec<_> = attribute.into_iter().collect();
    match tokens.first() {
        Some(TokenTree::Ident(name)) if name == "ignore" => true,
        Some(TokenTree::Ident(name)) if name == "cfg_attr" => tokens.iter().any(|token| match token {
            TokenTree::Group(group) => group.stream().into_iter().any(|inner| inner.to_string() == "ignore"),
            _ => false,
        }),
        _ => false,
    }
}

/// Paths of the machine it was written on. Put together here, so that this file does not hold them.
fn foreign_paths(path: &str, text: &str) -> Vec<Violation> {
    let needles =
        [["/wo", "rk/"], ["../sha", "red"], ["/tmp/bash", "_jobs"], ["/ro", "ot/"]].map(|parts| parts.concat());
    let mut violations = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for needle in needles.iter().filter(|needle| line.contains(needle.as_str())) {
            violations.push(Violation::new(path, number + 1, format!("names a place outside the project: `{needle}`")));
        }
    }
    violations
}

fn over_all(ending: &str, check: fn(&str, &str) -> Vec<Violation>) {
    assert_none(texts(ending).iter().flat_map(|(path, text)| check(path, text)).collect());
}

#[test]
fn every_source_file_starts_with_what_it_is() {
    over_all(".rs", header);
}

#[test]
fn no_source_file_is_too_long() {
    over_all(".rs", file_length);
}

#[test]
fn no_function_is_too_long() {
    over_all(".rs", function_length);
}

#[test]
fn nothing_is_left_behind() {
    over_all(".rs", leftovers);
}

#[test]
fn no_file_names_a_place_outside_the_project() {
    over_all("", foreign_paths);
}

#[test]
fn no_file_is_too_large() {
    let sizes = super::files().into_iter().filter_map(|path| Some((root().join(&path).metadata().ok()?.len(), path)));
    let large = sizes.filter(|(bytes, _)| *bytes > FILE_BYTES_MAX);
    assert_none(large.map(|(bytes, path)| Violation::new(&path, 0, format!("{bytes} bytes; at most 1 MiB"))).collect());
}

#[test]
fn a_wrong_header_is_seen() {
    assert_eq!(shown(&header("a.rs", "// What it is.\n")), ["a.rs:1: does not start with `//!`"]);
    assert_eq!(header("a.rs", "//! What it is.\n"), []);
}

#[test]
fn a_long_file_is_seen_at_the_limit() {
    assert_eq!(file_length("a.rs", &"\n".repeat(FILE_LINES_MAX)), []);
    assert_eq!(shown(&file_length("a.rs", &"\n".repeat(FILE_LINES_MAX + 1))), ["a.rs: 801 lines; at most 800"]);
}

#[test]
fn a_long_function_is_seen_wherever_it_stands() {
    let body = |lines: usize| format!("{{\n{}}}", "    let _ = \"}\";\n".repeat(lines));
    let (longest, long) = (body(FUNCTION_LINES_MAX - 2), body(FUNCTION_LINES_MAX - 1));
    assert_eq!(function_length("a.rs", &format!("/// Doc.\n#[inline]\nfn f() {longest}")), []);
    for (text, line) in [
        (format!("/// Doc.\nfn f() {long}"), 2),
        (format!("struct S;\nimpl S {{\n    pub fn f(&self) {long}\n}}"), 3),
        (format!("trait T {{\n    fn f() {long}\n    fn g();\n}}"), 2),
        (format!("mod m {{\n    async fn f() {long}\n}}"), 2),
    ] {
        let expected = format!("a.rs:{line}: fn f has 71 lines; at most 70");
        assert_eq!(shown(&function_length("a.rs", &text)), [expected], "{text}");
    }
    assert!(shown(&function_length("a.rs", "fn f( {"))[0].contains("does not parse"));
}

#[test]
fn leftovers_are_seen_in_code_and_not_in_texts() {
    let wrong = "#[test]\n#[ignore = \"slow\"]\nfn a() { dbg!(1); }\n#[cfg_attr(miri, ignore)]\n#[should_panic]\n\
                 fn b() { if true { todo!() } else { unimplemented!() } }\n/// ```rust,ignore\nfn c() {}\n";
    let mut found = leftovers("a.rs", wrong);
    found.sort();
    let expected = [
        "a.rs:2: `#[ignore]`",
        "a.rs:3: `dbg`",
        "a.rs:4: `#[ignore]`",
        "a.rs:5: `should_panic`",
        "a.rs:6: `todo`",
        "a.rs:6: `unimplemented`",
        "a.rs:7: an example that is not run, or that must panic",
    ];
    assert_eq!(shown(&found), expected);
    assert_eq!(leftovers("a.rs", "// todo!()\nfn ignore(todo: u8) -> &'static str { \"dbg!\" }\n/// ```\n"), []);
}

#[test]
fn foreign_paths_are_seen() {
    let line = ["see /wo", "rk/notes and ../sha", "red"].concat();
    assert_eq!(foreign_paths("a.md", &format!("fine\n{line}\n")).len(), 2);
    assert_eq!(foreign_paths("a.md", "a/network/b, shared/x\n"), []);
}
