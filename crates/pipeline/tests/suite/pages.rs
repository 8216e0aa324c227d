//! Pages that restate what the code knows, held against it: keys and defaults of a recipe's tables, techniques, backends,
//! sets of instructions.

use nlpress_core::BackendKind;
use nlpress_model::{AttentionSpec, MlpSpec, Ranks};
use nlpress_pipeline::{Recipe, kinds};
use nlpress_text::{BagEncoder, CorpusOptions, EncoderConfig, TokensConfig, TokensTable};
use nlpress_train::FitConfig;
use std::collections::BTreeSet;
use std::path::Path;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The cells of the first table after a line that begins so, its heading first.
fn table(page: &str, after: &str) -> Vec<Vec<String>> {
    let lines = page.lines().skip_while(|line| !line.starts_with(after)).skip(1);
    let rows = lines.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let line = line.trim().trim_matches('|').replace("\\|", "/");
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(rows.len() > 2, "no table after {after:?}");
    rows.remove(1);
    rows
}

/// What is between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Holds a table of keys, types and defaults against what reads them: a function from TOML to what was read.
fn hold(heading: &str, page: &str, read: &dyn Fn(&str) -> Result<String, String>) {
    let rows = table(page, heading);
    let documented: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let refusal = read("no_such_key = 1").unwrap_err();
    let (_, list) = refusal.split_once("`no_such_key`, expected ").unwrap_or_else(|| panic!("{refusal}"));
    let accepted: BTreeSet<String> = quoted(list.lines().next().unwrap()).into_iter().collect();
    assert_eq!(documented, accepted, "{heading}: the keys of the page, and those that are read");
    let defaults = rows[0].iter().position(|cell| cell == "default").unwrap();
    let mut held = 0;
    for row in &rows[1..] {
        let keys = quoted(&row[0]);
        let written = row[defaults].replace('`', "");
        let parts: Vec<&str> = written.split(", ").collect();
        for (n, key) in keys.iter().enumerate() {
            let default = if parts.len() == keys.len() { parts[n] } else { &written };
            let line = format!("{key} = {default}");
            if line.parse::<toml::Table>().is_err() {
                continue; // said in words
            }
            held += 1;
            assert_eq!(read(&line), read(""), "{heading}: {key} is not {default} by default");
        }
    }
    assert!(held >= 2, "{heading}: only {held} defaults are values");
}

fn parsed<T: serde::de::DeserializeOwned + std::fmt::Debug>(text: &str) -> Result<String, String> {
    toml::from_str::<T>(text).map(|read| format!("{read:?}")).map_err(|e| e.message().to_owned())
}

#[test]
fn the_tables_of_a_recipe_have_the_keys_and_defaults_that_are_read() {
    let page = page("docs/recipes.md");
    hold("## Training tables", &page, &parsed::<FitConfig>);
    hold("### `[data.read]`", &page, &parsed::<CorpusOptions>);
    hold("### `[data.encoder]`", &page, &parsed::<EncoderConfig>);
    hold("### `kind = \"tokens\"`", &page, &|text: &str| {
        let table: TokensTable = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        TokensConfig::try_from(&table).map(|read| format!("{read:?}")).map_err(|e| e.to_string())
    });
    hold("## `[controls]`", &page, &|controls: &str| {
        let rest = "schema = 1\n[model]\nnetwork = { mlp = {} }\n[data]\ncorpus = 'embedded'\n[controls]\n";
        let read = Recipe::parse(&format!("{rest}{controls}"), "recipe.toml");
        read.map(|recipe| format!("{:?}", recipe.controls)).map_err(|e| e.to_string())
    });
}

#[test]
fn the_readme_names_every_technique_once() {
    let readme = page("README.md");
    let mut named: Vec<String> =
        table(&readme, "`use` names a technique").iter().skip(1).flat_map(|row| quoted(&row[1])).collect();
    named.sort();
    let mut all: Vec<String> = kinds::all().map(|kind| kind.name.to_owned()).collect();
    all.sort();
    assert_eq!(named, all);
}

#[test]
fn the_readme_names_every_backend() {
    let named: Vec<String> =
        table(&page("README.md"), "## Backends").iter().flat_map(|row| quoted(&row[0])).collect();
    assert_eq!(named, BackendKind::ALL.map(|kind| kind.name().to_owned()));
}

#[test]
fn every_set_of_instructions_is_in_the_table_in_the_order_in_which_it_is_chosen() {
    let rows = table(&page("docs/quantization.md"), "## Instructions");
    let named: Vec<String> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let here = nlpress_kernels::instruction_sets();
    let listed: Vec<&String> = named.iter().filter(|name| here.contains(&name.as_str())).collect();
    assert_eq!(listed, here);
}

/// The largest number that is accepted, below `2^40`.
fn largest(accepts: &dyn Fn(usize) -> bool) -> usize {
    assert!(accepts(1));
    let (mut good, mut bad) = (1, 1 << 40);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        *(if accepts(middle) { &mut good } else { &mut bad }) = middle;
    }
    good
}

#[test]
fn the_limits_are_those_that_hold() {
    let mlp = |inputs: usize, hidden: Vec<usize>| MlpSpec::new(inputs, &hidden, 1, 0.0).check().is_ok();
    let attention = |tokens: usize| {
        let (width, head_width, outputs, dropout) = (1, 1, 1, 0.0);
        let (inputs, layers, ranks) = (1, vec![], Ranks::new());
        AttentionSpec { inputs, width, head_width, layers, outputs, dropout, tokens, ranks }.check().is_ok()
    };
    let encoder = |vocabulary: usize| {
        BagEncoder::fit(&EncoderConfig { vocabulary, ..EncoderConfig::default() }, ["a text", "a"]).is_ok()
    };
    let recipe = |seeds: usize| {
        let rest = "schema = 1\n[model]\nnetwork = { mlp = {} }\n[data]\ncorpus = 'embedded'\n";
        Recipe::parse(&format!("seeds = {seeds}\n{rest}"), "recipe.toml").is_ok()
    };
    let options = CorpusOptions::default();
    let mut limits = vec![
        ("hidden layers of a network", largest(&|n| n < 1000 && mlp(1, vec![1; n]))),
        ("width of a layer, and features of a row", largest(&|n| mlp(n, vec![]))),
        // 1024 wide: a layer has its weights and 1024 biases.
        ("weights and biases of a network, about", largest(&|n| n <= 1 << 20 && mlp(n, vec![1024])) << 10),
        ("words of a text that attention looks at", largest(&attention)),
        ("entries of a packed matrix", nlpress_packed::MOST_ENTRIES),
        ("inputs of a site of integers", nlpress_packed::MOST_QUANTIZED_INPUTS),
        ("words of a vocabulary", largest(&encoder)),
        ("bytes of a line of data, by default", options.max_line_bytes as usize),
        ("bytes of a data file, by default", options.max_file_bytes as usize),
        ("repetitions of a row", largest(&recipe)),
    ];
    let about = limits.iter_mut().find(|(what, _)| what.ends_with("about")).unwrap();
    about.1 = about.1.next_power_of_two();
    let expected: Vec<[String; 2]> =
        limits.into_iter().map(|(what, most)| [what.to_owned(), grouped(most)]).collect();
    let rows = table(&page("docs/limits.md"), "# Limits");
    let found: Vec<[String; 2]> = rows[1..].iter().map(|row| [row[0].clone(), row[1].clone()]).collect();
    assert_eq!(found, expected);
}

/// The last column of the glossary says where a term lives: in files and folders of the repository, and on pages.
#[test]
fn the_places_of_the_glossary_are_there() {
    let glossary = page("docs/glossary.md");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rows: Vec<&str> = glossary.lines().filter(|line| line.starts_with("| ")).collect();
    let mut places = 0;
    for row in rows.iter().filter(|row| !row.starts_with("| term ")) {
        let place = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let links = place.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap());
        let found: Vec<String> =
            quoted(place).into_iter().chain(links.map(|l| format!("docs/{l}"))).collect();
        assert!(!found.is_empty(), "no place: {row}");
        for path in &found {
            assert!(root.join(path).exists(), "{path} is not there: {row}");
        }
        places += found.len();
    }
    assert!(places > 50, "{places} places");
}

/// A number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = (digits.len() + 2) % 3 + 1;
    let mut text = digits[..first].to_owned();
    digits.as_bytes()[first..].chunks(3).for_each(|three| {
        text.push(',');
        text.push_str(std::str::from_utf8(three).unwrap());
    });
    text
}
