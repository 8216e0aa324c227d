//! Which modules of a crate lean on each other in a circle.
//!
//! A module leans on another where its code, tests aside, names something in it: by `use` or by a path from `crate`,
//! `super` or `self`. What is re-exported belongs to where it is defined. Within a folder each module counts with all that
//! is below it; a module and the one that it is part of are no circle. Methods that are called without a path are not seen.

use super::source::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The names of the modules from the root of a crate down to one.
type Module = Vec<String>;

/// The modules of a crate, with what each imports.
#[derive(Debug, Default)]
struct Modules(BTreeMap<Module, Names>);

/// What the code of a module names.
#[derive(Debug, Default)]
struct Names {
    /// Imported names, with their paths; `*` more than once.
    imports: Vec<(String, Vec<String>)>,
    /// Other paths from `crate`, `super` or `self`.
    paths: Vec<Vec<String>>,
    /// What is defined here.
    defined: BTreeSet<String>,
}

/// The circles in the sources below a folder, each as its modules in order, separated by spaces.
pub(crate) fn circles(src: &Path, sources: &[Source]) -> Vec<String> {
    let mut modules = Modules::default();
    for source in sources {
        let module = module_of(source.path.strip_prefix(src).unwrap());
        modules.0.entry(module).or_default().read(&tokens(&source.code()));
    }
    let mut found = Vec::new();
    for (folder, arrows) in modules.arrows() {
        for circle in tied(&arrows) {
            let path = |name: String| folder.iter().cloned().chain([name]).collect::<Vec<_>>().join("::");
            found.push(circle.into_iter().map(path).collect::<Vec<_>>().join(" "));
        }
    }
    found
}

fn module_of(file: &Path) -> Module {
    let mut names: Module =
        file.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if ["lib", "main", "mod"].contains(&names.last().unwrap().as_str()) {
        names.pop();
    }
    names
}

/// Names, `::`, and single characters; what stands after `$` or `'` is no name.
fn tokens(code: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = match c {
            _ if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => c.len_utf8(),
        };
        if !c.is_whitespace() {
            all.push(rest[..length].to_owned());
        }
        rest = &rest[length..];
    }
    all
}

impl Names {
    fn read(&mut self, tokens: &[String]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "use" => at = self.import(tokens, at, &[]),
                "crate" | "super" | "self" if tokens.get(at).is_some_and(|next| next == "::") => {
                    let mut path = vec![token.clone()];
                    while tokens.get(at).is_some_and(|next| next == "::") && is_name(tokens.get(at + 1)) {
                        path.push(tokens[at + 1].clone());
                        at += 2;
                    }
                    self.paths.push(path);
                }
                "fn" | "struct" | "enum" | "trait" | "const" | "static" | "type" | "union" => {
                    self.defined.extend(tokens.get(at).cloned());
                }
                "macro_rules" => self.defined.extend(tokens.get(at + 1).cloned()),
                _ => {}
            }
        }
    }

    /// One tree of a `use`, from its first name; returns where it ends.
    fn import(&mut self, tokens: &[String], mut at: usize, before: &[String]) -> usize {
        let mut path = before.to_vec();
        loop {
            match tokens.get(at).map(String::as_str) {
                Some("::") => at += 1,
                Some("{") => {
                    at += 1;
                    while tokens.get(at).is_some_and(|token| token != "}") {
                        at = self.import(tokens, at, &path);
                        at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                    }
                    return at + 1;
                }
                Some("*") => {
                    self.imports.push(("*".into(), path));
                    return at + 1;
                }
                Some("as") => {
                    self.imports.push((tokens[at + 1].clone(), path));
                    return at + 2;
                }
                Some(name) if is_name(tokens.get(at)) => {
                    path.push(name.to_owned());
                    at += 1;
                }
                _ => {
                    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                        path.pop();
                    }
                    if let Some(name) = path.last() {
                        self.imports.push((name.clone(), path));
                    }
                    return at;
                }
            }
        }
    }
}

fn is_name(token: Option<&String>) -> bool {
    token.is_some_and(|token| token.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

impl Modules {
    /// For each folder of modules, which of them names which other.
    fn arrows(&self) -> BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> {
        let mut arrows: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (module, names) in &self.0 {
            for path in names.imports.iter().map(|(_, path)| path).chain(&names.paths) {
                let Some(target) = self.home(module, path, 0) else { continue };
                let common = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
                if common < module.len() && common < target.len() {
                    let of_folder = arrows.entry(module[..common].to_vec()).or_default();
                    of_folder.entry(module[common].clone()).or_default().insert(target[common].clone());
                }
            }
        }
        arrows
    }

    /// The module that defines what a path names; `None` for other crates. `depth` counts re-exports that were followed.
    fn home(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let (first, mut rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            _ if self.0.contains_key(&child(from, first)) => child(from, first),
            _ => return None,
        };
        while let Some((name, further)) = rest.split_first() {
            if name == "super" {
                module.pop()?;
            } else if self.0.contains_key(&child(&module, name)) {
                module.push(name.clone());
            } else {
                return Some(self.defined(&module, rest, depth).unwrap_or(module));
            }
            rest = further;
        }
        Some(module)
    }

    /// The module that defines what is named in another which only imports it.
    fn defined(&self, module: &Module, rest: &[String], depth: usize) -> Option<Module> {
        let names = self.0.get(module)?;
        if names.defined.contains(&rest[0]) || depth > 8 {
            return None;
        }
        if let Some((_, path)) = names.imports.iter().find(|(name, _)| *name == rest[0]) {
            let path: Vec<String> = path.iter().chain(&rest[1..]).cloned().collect();
            return self.home(module, &path, depth + 1);
        }
        names.imports.iter().filter(|(name, _)| name == "*").find_map(|(_, path)| {
            let home = self.home(module, path, depth + 1)?;
            self.0.get(&home)?.defined.contains(&rest[0]).then_some(home)
        })
    }
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// The sets of more than one name that all reach each other.
fn tied(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let mut all = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            open.extend(arrows.get(name).into_iter().flatten().filter(|next| all.insert((*next).clone())));
        }
        all
    };
    let reach: BTreeMap<&String, BTreeSet<String>> =
        arrows.keys().map(|name| (name, reached(name))).collect();
    let mut circles = BTreeSet::new();
    for (name, reached) in &reach {
        let back = |other: &&String| reach.get(other).is_some_and(|back| back.contains(*name));
        let circle: Vec<String> = reached.iter().filter(back).cloned().collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

#[test]
fn circles_are_found_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a; mod b; mod c; mod d; mod e;\npub use b::Thing;\npub use c::*;\n");
    // By a re-export and by a path; `d` and `e` only lean on others, and so do tests.
    write("a.rs", "use std::fmt;\nuse crate::{Thing as T, e};\nfn f() {}");
    write(
        "b.rs",
        "struct Thing;\nimpl Thing { fn g(&self) { crate::a::f() } }\n#[cfg(test)]\nmod t { use crate::d::X; }",
    );
    write("c/mod.rs", "mod x; mod y;\nuse x::X;\npub struct Whole;\nfn z() { y::f() }");
    write("c/x.rs", "use super::{Whole, y::{self, Y}};\npub struct X;");
    write("c/y.rs", "use super::X;\npub struct Y;\npub fn f() {}");
    write("d.rs", "use crate::c::z;\nuse crate::Whole;\npub struct X;");
    write("e.rs", "fn only() { self::g::<crate::c::Whole>() } // use crate::d::X;");
    let found = circles(folder.path(), &super::source::read_below(folder.path()));
    assert_eq!(found, ["a b", "c::x c::y"]);
}
