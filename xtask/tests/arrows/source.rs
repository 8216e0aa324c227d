//! Rust source as the checks see it: without comments, without what stands in quotes, without tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A source file whose comments, literals and `#[cfg(test)]` items are blank; lines stay where they were.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    code: Vec<char>,
}

impl Source {
    /// What is left of the text.
    pub(crate) fn code(&self) -> String {
        self.code.iter().collect()
    }

    /// Lines (from 1) on which `pattern` stands as a whole: no letter, digit or underscore goes on at its ends.
    pub(crate) fn lines_with(&self, pattern: &str) -> Vec<usize> {
        let pattern: Vec<char> = pattern.chars().collect();
        let inside = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
        let word = |c: &char| inside(Some(c));
        let mut lines = Vec::new();
        for at in 0..self.code.len() {
            let end = at + pattern.len();
            let whole = self.code[at..].starts_with(&pattern)
                && !(word(&pattern[0]) && at > 0 && inside(self.code.get(at - 1)))
                && !(word(&pattern[pattern.len() - 1]) && inside(self.code.get(end)));
            if whole {
                lines.push(1 + self.code[..at].iter().filter(|c| **c == '\n').count());
            }
        }
        lines
    }
}

/// Every Rust file below a folder, without those that are modules of tests.
pub(crate) fn read_below(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut of_tests = BTreeSet::new();
    for path in rust_files(folder) {
        let text: Vec<char> = std::fs::read_to_string(&path).unwrap().chars().collect();
        let mut code = blank_words(&text);
        of_tests.extend(blank_tests(&mut code, &text, &path));
        sources.push(Source { path, code });
    }
    sources.retain(|source| !of_tests.iter().any(|module| source.path.starts_with(module)));
    sources
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return files };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The text with blanks for comments and for the contents of string and character literals.
fn blank_words(text: &[char]) -> Vec<char> {
    let mut code = text.to_vec();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let end = if rest.starts_with(&['/', '/']) {
            at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
        } else if rest.starts_with(&['/', '*']) {
            at + block_comment(rest)
        } else if rest[0] == '"' {
            at + quoted(rest, '"')
        } else if rest[0] == '\'' && is_character(rest) {
            at + quoted(rest, '\'')
        } else if rest[0] == 'r' && !goes_on_from(text, at) && raw_string(rest).is_some() {
            at + raw_string(rest).unwrap()
        } else {
            at += 1;
            continue;
        };
        blank(&mut code[at..end]);
        at = end;
    }
    code
}

fn blank(code: &mut [char]) {
    for c in code.iter_mut().filter(|c| **c != '\n') {
        *c = ' ';
    }
}

/// Whether the `r` here ends a longer name; `br` and `cr` begin raw strings too.
fn goes_on_from(text: &[char], at: usize) -> bool {
    let name = |c: char| c.is_alphanumeric() || c == '_';
    match at.checked_sub(1).map(|before| (before, text[before])) {
        Some((before, 'b' | 'c')) => before > 0 && name(text[before - 1]),
        Some((_, c)) => name(c),
        None => false,
    }
}

/// Length of a block comment; they nest.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(&['/', '*']) {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(&['*', '/']) {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of a literal with escapes, quotes included.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Whether a character literal begins here, and not a lifetime.
fn is_character(rest: &[char]) -> bool {
    rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'')
}

/// Length of a raw string that begins with this `r`.
fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    let body = 1 + hashes + 1;
    if rest.get(body - 1) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let length = rest[body..].windows(close.len()).position(|w| w == close);
    Some(length.map_or(rest.len(), |length| body + length + close.len()))
}

/// Blanks every item under `#[cfg(test)]` and gives the files (and folders) of those that are modules elsewhere.
fn blank_tests(code: &mut [char], text: &[char], path: &Path) -> Vec<PathBuf> {
    let mark: Vec<char> = "#[cfg(test)]".chars().collect();
    let mut modules = Vec::new();
    let mut at = 0;
    while let Some(found) = code[at..].windows(mark.len()).position(|w| w == mark) {
        let begin = at + found;
        let item = begin + mark.len();
        let end = item + item_length(&code[item..]);
        if code[end - 1] == ';' {
            modules.extend(module_files(&text[item..end], path));
        }
        blank(&mut code[begin..end]);
        at = end;
    }
    modules
}

/// Length of an item: up to its `;` or the end of its braces.
fn item_length(code: &[char]) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.iter().enumerate() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Where the module of `#[path = "…"] mod name;` lies.
fn module_files(item: &[char], path: &Path) -> Vec<PathBuf> {
    let item: String = item.iter().collect();
    let folder = path.parent().unwrap();
    if let Some((_, rest)) = item.split_once("#[path = \"") {
        return rest.split_once('"').map(|(file, _)| folder.join(file)).into_iter().collect();
    }
    let Some((_, name)) = item.trim_end_matches(';').rsplit_once("mod ") else { return Vec::new() };
    let stem = path.file_stem().unwrap();
    let owns_folder = ["lib", "main", "mod"].iter().any(|root| stem == *root);
    let inside = if owns_folder { folder.to_path_buf() } else { folder.join(stem) };
    vec![inside.join(format!("{name}.rs")), inside.join(name)]
}

#[test]
fn only_code_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let hidden = "// unsafe {\n/* /* */ unsafe */\n\"unsafe \\\" unsafe\"; r#\"unsafe \" unsafe\"#; br\"unsafe\\\"; '\"'; '\\'';\n\
                  fn f<'a>(x: &'a str) {}\n#[cfg(test)]\nmod tests {\n fn g() { unsafe {} }\n}\n";
    write("lib.rs", &format!("{hidden}fn h() {{ unsafe {{}} }} // line 9\nfn unsafely() {{}} r#unsafe;\n"));
    write(
        "other.rs",
        "#[cfg(test)]\n#[path = \"odd.rs\"]\nmod tests;\n#[cfg(test)]\nmod more;\nunsafe fn f() {}",
    );
    write("odd.rs", "unsafe {}");
    std::fs::create_dir(folder.path().join("other")).unwrap();
    write("other/more.rs", "unsafe {}");
    write("other/real.rs", "\n'u'; unsafe {}");

    let seen: Vec<(String, Vec<usize>)> = read_below(folder.path())
        .iter()
        .map(|s| (s.path.file_name().unwrap().to_string_lossy().into_owned(), s.lines_with("unsafe")))
        .collect();
    let expected = [("lib.rs", vec![9, 10]), ("real.rs", vec![2]), ("other.rs", vec![6])];
    assert_eq!(seen.len(), 3, "{seen:?}");
    for (name, lines) in expected {
        assert!(seen.contains(&(name.into(), lines.clone())), "{name} {lines:?} not in {seen:?}");
    }
}
