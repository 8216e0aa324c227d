//! The rules that hold between crates. What clippy and the compiler can say is not said again here.

#![cfg(test)]

mod circles;
mod source;

use serde_json::Value;
use source::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each crate with those of our crates that it may depend on; dependencies of tests alone are free.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("packed", &[]),
    ("kernels", &["packed"]),
    ("graph", &["core", "packed"]),
    ("text", &["core"]),
    ("model", &["core", "graph", "kernels", "packed", "text"]),
    ("train", &["core", "model", "text"]),
    ("technique", &["core", "model", "text", "train"]),
    ("testkit", &["core", "model", "packed", "technique", "text", "train"]), // and no crate on it, but for tests
    ("prune", BELOW_A_FAMILY),
    ("quant", BELOW_QUANT),
    ("distill", BELOW_A_FAMILY),
    ("parallel", &["core", "model", "quant", "technique", "train"]), // quant: its codecs go over the wire
    ("artifact", &["core", "graph", "packed"]),
    ("hub", &["artifact", "core", "graph", "packed", "text"]),
    ("runtime", &["artifact", "core", "graph", "kernels", "packed", "text"]),
    ("eval", &["core", "text"]),
    ("pipeline", BELOW_THE_PIPELINE),
    ("search", &["core", "eval", "pipeline", "runtime", "text"]),
    ("nlpress", LIBRARIES),
    ("cli", &["nlpress"]),
    ("xtask", &[]),
];

/// The families of techniques do not know each other.
const BELOW_A_FAMILY: &[&str] = &["core", "graph", "model", "packed", "technique", "text", "train"];

/// How a rounding turns out is measured with the products that ship.
const BELOW_QUANT: &[&str] = &["core", "graph", "kernels", "model", "packed", "technique", "text", "train"];

const BELOW_THE_PIPELINE: &[&str] = &[
    "artifact",
    "core",
    "distill",
    "eval",
    "model",
    "graph",
    "hub",
    "packed",
    "parallel",
    "prune",
    "quant",
    "runtime",
    "technique",
    "text",
    "train",
];

const LIBRARIES: &[&str] = &[
    "artifact",
    "core",
    "distill",
    "eval",
    "hub",
    "kernels",
    "model",
    "graph",
    "hub",
    "packed",
    "parallel",
    "pipeline",
    "prune",
    "quant",
    "runtime",
    "search",
    "technique",
    "text",
    "train",
];

/// What serves a model, and must be had without a training stack.
const WITHOUT_BURN: &[&str] = &["packed", "kernels", "artifact", "hub", "runtime"];

/// The crates that talk to the terminal, read the surroundings and end the process.
const TALKATIVE: &[&str] = &["cli", "xtask"];

/// What talking, reading the surroundings and ending the process look like.
const TALK: &[&str] = &[
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "io::stdout",
    "io::stderr",
    "env::var",
    "env::var_os",
    "env::vars",
    "env::vars_os",
    "env::args",
    "env::args_os",
    "env::{",
    "process::exit",
    "process::abort",
];

#[test]
fn arrows_between_our_crates_are_the_allowed_ones() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let members = members();
    let mut wrong = Vec::new();
    for member in &members {
        let Some(targets) = allowed.get(member.short.as_str()) else {
            wrong.push(format!("{}: a crate without a rule in ALLOWED", member.short));
            continue;
        };
        for target in member.arrows.iter().filter(|t| members.iter().any(|m| m.short == **t)) {
            if !targets.contains(&target.as_str()) {
                wrong.push(format!("{} -> {target}: not allowed", member.short));
            }
        }
    }
    for name in allowed.keys().filter(|n| !members.iter().any(|m| m.short == **n)) {
        wrong.push(format!("{name}: in ALLOWED, but no such crate"));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_serves_a_model_is_had_without_burn() {
    for name in WITHOUT_BURN {
        let package = format!("nlpress-{name}");
        let arguments =
            ["tree", "--package", &package, "--edges", "normal", "--no-default-features", "--offline"];
        let tree = cargo(&[&arguments[..], &["--prefix", "none", "--format", "{p}"]].concat());
        assert!(tree.starts_with(&package), "cargo tree printed {tree:?}");
        let names = tree.lines().filter_map(|line| line.split_whitespace().next());
        let burn: BTreeSet<&str> = names.filter(|name| name.starts_with("burn")).collect();
        assert!(burn.is_empty(), "{package} -> {burn:?}");
    }
}

#[test]
fn only_kernels_are_unsafe() {
    let mut wrong = Vec::new();
    for member in members().iter().filter(|m| m.short != "kernels") {
        for source in source::read_below(&member.folder) {
            wrong.extend(places(&source, "unsafe"));
        }
    }
    assert!(wrong.is_empty(), "only crates/kernels may be unsafe:\n{}", wrong.join("\n"));
}

#[test]
fn modules_do_not_lean_on_each_other_in_circles() {
    let mut found = Vec::new();
    for member in members() {
        let src = member.folder.join("src");
        let sources = source::read_below(&src);
        assert!(!sources.is_empty(), "{}: no sources", src.display());
        found.extend(
            circles::circles(&src, &sources).into_iter().map(|circle| (member.short.clone(), circle)),
        );
    }
    assert!(found.is_empty(), "modules that lean on each other: {found:#?}");
}

#[test]
fn only_the_binaries_talk() {
    let mut wrong = Vec::new();
    for member in members().iter().filter(|m| !TALKATIVE.contains(&m.short.as_str())) {
        let sources = source::read_below(&member.folder.join("src"));
        assert!(!sources.is_empty(), "{}: no sources", member.folder.display());
        wrong.extend(sources.iter().flat_map(|s| TALK.iter().flat_map(|talk| places(s, talk))));
    }
    assert!(
        wrong.is_empty(),
        "only {TALKATIVE:?} print, read the surroundings or end the process:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn burn_is_pinned_once() {
    let (path, text) = manifest(&root());
    let table: toml::Table = text.parse().unwrap();
    let mut wrong = Vec::new();
    let mut pins = BTreeMap::new();
    for (name, dependency) in table["workspace"]["dependencies"].as_table().unwrap() {
        if is_burn(name, dependency) {
            let version = version(dependency);
            if !version.starts_with('=') {
                wrong.push(format!("{}: version {version:?} is not exact", place(&path, &text, name)));
            }
            pins.insert(name.clone(), version.to_owned());
        }
    }
    assert!(pins.contains_key("burn"), "{}: no burn", path.display());

    for member in members() {
        let (path, text) = manifest(&member.folder);
        for (name, dependency) in dependencies(&text.parse().unwrap()) {
            let inherited = dependency.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            if is_burn(&name, &dependency) && !inherited {
                wrong.push(format!("{}: not from the workspace's table", place(&path, &text, &name)));
            }
        }
    }
    // Examples are workspaces of their own, as a user's program is: they repeat the version.
    for entry in std::fs::read_dir(root().join("docs/examples")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("Cargo.toml").is_file() {
            continue;
        }
        let (path, text) = manifest(&folder);
        for (name, dependency) in dependencies(&text.parse().unwrap()) {
            if is_burn(&name, &dependency)
                && pins.get(&name).map(String::as_str) != Some(version(&dependency))
            {
                wrong.push(format!("{}: not the workspace's version", place(&path, &text, &name)));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A crate of the workspace.
struct Member {
    /// Its name without `nlpress-`.
    short: String,
    folder: PathBuf,
    /// Short names of what it depends on, outside of tests.
    arrows: Vec<String>,
}

fn members() -> Vec<Member> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]))
            .unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let member = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap();
        Member {
            short: short(&package["name"]),
            folder: Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().into(),
            arrows: dependencies.iter().filter(|d| d["kind"] != "dev").map(|d| short(&d["name"])).collect(),
        }
    };
    packages.iter().map(member).collect()
}

fn short(name: &Value) -> String {
    let name = name.as_str().unwrap();
    name.strip_prefix("nlpress-").unwrap_or(name).to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}

/// Every place of a pattern in a file, as `crates/x/src/y.rs:12: pattern`.
fn places(source: &Source, pattern: &str) -> Vec<String> {
    let root = root();
    let path = source.path.strip_prefix(&root).unwrap_or(&source.path).display().to_string();
    source.lines_with(pattern).into_iter().map(|line| format!("{path}:{line}: {pattern}")).collect()
}

fn manifest(folder: &Path) -> (PathBuf, String) {
    let path = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

/// The place of a dependency in a manifest, as `crates/x/Cargo.toml:12: name`.
fn place(path: &Path, text: &str, name: &str) -> String {
    let begins = |line: &str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
            || line.starts_with('[') && line.ends_with(&format!(".{name}]"))
    };
    let line = text.lines().position(begins).map_or(0, |n| n + 1);
    let root = root();
    format!("{}:{line}: {name}", path.strip_prefix(&root).unwrap_or(path).display())
}

/// All dependencies of a manifest: of the library, of tests and of build scripts, on every platform.
fn dependencies(manifest: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut found = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            found.extend(table.iter().map(|(name, dependency)| (name.clone(), dependency.clone())));
        } else if key == "target" {
            found.extend(table.values().filter_map(toml::Value::as_table).flat_map(dependencies));
        }
    }
    found
}

fn is_burn(name: &str, dependency: &toml::Value) -> bool {
    let package = dependency.get("package").and_then(toml::Value::as_str).unwrap_or(name);
    package == "burn" || package.starts_with("burn-")
}

fn version(dependency: &toml::Value) -> &str {
    let version = dependency.get("version").unwrap_or(dependency);
    version.as_str().unwrap_or_default()
}
