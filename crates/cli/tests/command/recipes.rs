//! Recipes: where they are wrong, and those that the command writes itself.

use crate::happy::RECIPE;
use crate::world::World;

/// The line of a text in a recipe.
fn line_of(recipe: &str, part: &str) -> usize {
    1 + recipe[..recipe.find(part).unwrap_or_else(|| panic!("{part:?}"))].matches('\n').count()
}

#[test]
fn what_shows_only_with_the_data_names_the_line_that_asks_for_it() {
    let world = World::new();
    world.train("a.safetensors");
    world.write("other.csv", "text,label\nbru1 bru2,x\nbru3,x\nzel1,y\nzel2,y\n");
    let files = "files = { train = \"rows.csv\", valid = \"rows.csv\", test = \"rows.csv\" }";
    let cases: [(&str, &str, &str, &str); 9] = [
        ("network = {", "path = \"none.safetensors\" #", "path = ", "none.safetensors"),
        ("network = {", "path = \"rows.csv\" #", "path = ", "rows.csv"),
        ("network = {", "path = \"a.safetensors\" #", "path = ", "vocabulary"),
        ("hidden = [8]", "hidden = [8], inputs = 7", "inputs = 7", "7 inputs"),
        ("hidden = [8]", "hidden = [8],\noutputs = 3", "outputs = 3", "3 outputs"),
        ("hidden = [8]", "hidden = [1048576, 1048576]", "hidden = [1048576", "parameters"),
        ("corpus = \"embedded\"", "files = \"none.csv\"", "[data]", "none.csv"),
        ("corpus = \"embedded\"", "corpus = \"unheard-of\"", "[data]", "unheard-of"),
        ("read = {", "read = { limit = 0,", "read = {", "limit"),
    ];
    for (from, to, at, says) in cases {
        let mut recipe = RECIPE.replacen(from, to, 1);
        if !to.contains("files") && !to.contains("corpus") {
            recipe = recipe.replace("corpus = \"embedded\"", files);
        }
        let line = line_of(&recipe, at);
        world.write("bad.toml", recipe);
        for command in ["run", "plan"] {
            let said = world.refuses(&[command, "bad.toml"], b"", &["bad.toml:", says]);
            assert!(said.contains(&format!("bad.toml:{line}: ")), "{to}: line {line} is not in: {said}");
        }
    }
    // Data from the command line are not the recipe's, so its lines have nothing to do with them.
    world.write("good.toml", RECIPE);
    let said = world.refuses(&["plan", "good.toml", "--data", "none.csv"], b"", &["none.csv"]);
    assert!(said.contains("good.toml: "), "{said}");
}

#[test]
fn values_of_the_wrong_kind_are_refused_in_words_of_recipes() {
    let world = World::new();
    let int8 = "use = \"quant.int8\", on = [\"**\"]";
    let cases: [(&str, &str, &[&str]); 14] = [
        (
            int8,
            "use = \"quant.int8\", with = { activations = \"fixed\" }",
            &["`activations` is the text \"fixed\"", "must be a table", "calibrator = "],
        ),
        (
            int8,
            "use = \"quant.int8\", with = { activations = { samples = -1 } }",
            &["`activations.samples` is -1", "whole number"],
        ),
        (int8, "use = \"quant.int8\", with = { zero_points = 1 }", &["`zero_points` is 1", "true or false"]),
        (int8, "use = \"quant.int8\", with = 3", &["`with` is 3", "a table"]),
        (
            "finetune = { epochs = 1 }",
            "finetune = { epochs = \"1\" }",
            &["epochs` is the text \"1\"", "whole number from 0"],
        ),
        ("gate = { max_drop = 100.0 }", "gate = 1.0", &["`gate` is 1", "a table"]),
        ("seed = 3", "seed = \"3\"", &["`seed` is the text \"3\"", "whole number"]),
        ("seeds = 1", "seeds = 1.5", &["`seeds` is 1.5", "whole number"]),
        ("seeds = 1", "seeds = -1", &["`seeds` is -1", "whole number from 0"]),
        ("hidden = [8]", "hidden = 8", &["`hidden` is 8", "a list"]),
        ("network = { mlp = { hidden = [8], dropout = 0.1 } }", "network = \"mlp\"", &["network", "table"]),
        ("epochs = 3", "epochs = 3.5", &["`epochs` is 3.5", "whole number"]),
        ("linear = true", "linear = \"yes\"", &["`linear` is the text \"yes\"", "true or false"]),
        (
            "split = { train = 80, valid = 10, test = 10 }",
            "split = \"80/10/10\"",
            &["`split` is the text \"80/10/10\"", "a table"],
        ),
    ];
    for (from, to, says) in cases {
        let recipe = RECIPE.replacen(from, to, 1);
        assert_ne!(recipe, RECIPE, "{from}");
        world.write("bad.toml", recipe);
        let told = world.refuses(&["plan", "bad.toml"], b"", says);
        for private in
            ["struct", "Raw", "u32", "u64", "usize", "f64", "enum", "variant", "sequence", "invalid type"]
        {
            assert!(!told.contains(private), "{to}: {told}");
        }
    }
}

#[test]
fn a_name_is_one_line_of_plain_text() {
    let world = World::new();
    for name in ["\\u001b[31mred", "a\\nb", "\\u202eab", " "] {
        world.write("bad.toml", format!("name = \"{name}\"\n{RECIPE}"));
        let told = world.refuses(&["plan", "bad.toml"], b"", &["bad.toml:1: ", "name"]);
        assert!(told.chars().all(|c| c == '\n' || !c.is_control()), "{told:?}");
    }
    world.write("good.toml", format!("name = \"Größe 1: <b>\"\n{RECIPE}"));
    world.does(&["plan", "good.toml", "--quick"]);
}

#[test]
fn large_recipes_are_planned() {
    // A step needs a site that has not been packed, so rows start from the teacher; lines are still right at the end.
    let world = World::new();
    let row = |n: usize| format!("[[variants]]\nid = \"v{n}\"\nsteps = [{{ use = \"quant.int8\" }}]\n");
    let rows: String = (0..5000).map(row).collect();
    world.write("many.toml", format!("{RECIPE}{rows}"));
    let plan = world.json(&["plan", "many.toml", "--quick", "--json"]);
    assert_eq!(plan["rows"].as_array().unwrap().len(), 3 + 5000);
    let bad = format!("{RECIPE}{rows}{}", row(4999));
    let line = bad.matches('\n').count() - 2;
    world.write("twice.toml", bad);
    world.refuses(&["plan", "twice.toml"], b"", &[&format!("twice.toml:{line}: "), "v4999", "taken"]);
}

/// Plans and runs a recipe that the command wrote; the rows of the report.
fn runs(world: &World, recipe: &str) -> Vec<String> {
    world.does(&["plan", recipe]);
    world.does(&["run", recipe, "--quick", "--out", "made"]);
    let report: serde_json::Value = serde_json::from_slice(&world.read("made/report.json")).unwrap();
    assert!(report.get("failed").is_none(), "{}", report["failed"]);
    std::fs::remove_dir_all(world.path("made")).unwrap();
    report["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn written(world: &World, more: &[&str]) -> (String, String) {
    let _ = std::fs::remove_file(world.path("recipe.toml"));
    let arguments = [&["new-recipe"][..], more].concat();
    let done = world.run(&arguments, b"");
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.err);
    (String::from_utf8(world.read("recipe.toml")).unwrap(), done.err)
}

#[test]
fn a_recipe_is_written_for_a_file_and_runs_as_it_stands() {
    let world = World::new();
    let (recipe, _) = written(&world, &["--data", "rows.csv"]);
    for part in
        ["text = \"text\"", "label = \"label\"", "files = \"rows.csv\"", "# ", "[controls]", "[[variants]]"]
    {
        assert!(recipe.contains(part), "{part}: {recipe}");
    }
    let rows = runs(&world, "recipe.toml");
    for row in ["teacher", "control.linear", "int8", "half-int8", "sparse-int8", "student-int8"] {
        assert!(rows.iter().any(|r| r == row), "{row} is not in {rows:?}");
    }
    // It is written once.
    world.refuses(&["new-recipe", "--data", "rows.csv"], b"", &["recipe.toml", "there already"]);
    world.refuses(&["new-recipe", "--data", "rows.csv", "--out", "rows.csv"], b"", &["rows.csv", "--data"]);
    world.does(&["new-recipe", "--data", "rows.csv", "--out", "new/folder/r.toml"]);
    runs(&world, "new/folder/r.toml");
    std::fs::create_dir(world.path("below")).unwrap();
    std::fs::copy(world.path("rows.csv"), world.path("below/rows of mine.csv")).unwrap();
    world.does(&["new-recipe", "--data", "below/rows of mine.csv", "--out", "r.toml"]);
    assert!(String::from_utf8(world.read("r.toml")).unwrap().contains("files = \"below/rows of mine.csv\""));
    runs(&world, "r.toml");
}

#[test]
fn columns_and_delimiters_are_guessed() {
    let rows = String::from_utf8(World::new().read("rows.csv")).unwrap();
    let parts: Vec<(&str, &str)> = rows.lines().skip(1).map(|line| line.rsplit_once(',').unwrap()).collect();
    let table = |name: &str, header: &str, row: &dyn Fn(usize, &str, &str) -> String| {
        let body: Vec<String> =
            parts.iter().enumerate().map(|(n, (text, label))| row(n, text, label)).collect();
        (name.to_owned(), format!("{header}{}\n", body.join("\n")))
    };
    let files = [
        table("a.csv", "id;review;stars\n", &|n, t, l| {
            format!("{n};{t}, and more;{}", if l == "dim" { 1 } else { 5 })
        }),
        table("b.csv", "sentiment\tsource\tcomment\n", &|n, t, l| format!("{l}\ts{}\t{t}", n % 2)),
        table("c.tsv", "when\tbody\tclass\n", &|n, t, l| format!("2020-01-{n}\t{t}\t{l}")),
        table("d.jsonl", "", &|n, t, l| format!("{{\"n\":{n},\"message\":\"{t}\",\"target\":\"{l}\"}}")),
        table("e.ft", "", &|_, t, l| format!("__label__{l} {t}")),
        table("f.csv", "\"the text\",\"what it is\"\n", &|_, t, l| format!("\"{t}\",{l}")),
    ];
    let expected = [
        ("review", "stars"),
        ("comment", "sentiment"),
        ("body", "class"),
        ("message", "target"),
        ("text", "label"),
        ("the text", "what it is"),
    ];
    let world = World::new();
    for ((name, content), (text, label)) in files.iter().zip(expected) {
        world.write(name, content);
        let (recipe, _) = written(&world, &["--data", name]);
        assert!(recipe.contains(&format!("text = \"{text}\", label = \"{label}\"")), "{name}: {recipe}");
        world.does(&["plan", "recipe.toml"]);
    }
    // Without names, by number; and where nothing can be guessed, by what the user says.
    world.write("g.csv", rows.split_once('\n').unwrap().1);
    let (recipe, said) = written(&world, &["--data", "g.csv", "--no-header"]);
    assert!(recipe.contains("text = 0, label = 1") && recipe.contains("header = false"), "{recipe}");
    assert!(said.contains("label is taken to be the column 1"), "{said}");
    world.does(&["plan", "recipe.toml"]);
    let (name, content) = table("h.csv", "one,two\n", &|_, t, l| format!("{t},{t} {l}"));
    world.write(&name, content);
    world.write("free.toml", "");
    world.refuses(
        &["new-recipe", "--data", "h.csv", "--out", "o.toml"],
        b"",
        &["--label-column", "one", "two"],
    );
    for (bad, says) in [("none.csv", "none.csv"), ("-", "standard input"), ("words.bin", "words.bin")] {
        world.refuses(&["new-recipe", "--data", bad, "--out", "o.toml"], b"", &[says]);
    }
}

#[test]
fn a_recipe_fits_the_script_of_its_texts() {
    let world = World::new();
    let signs = ["\u{597d}", "\u{574f}", "\u{4e66}", "\u{5f71}", "\u{4eba}", "\u{5929}"];
    let mut rows = String::from("text,label\n");
    for n in 0..120 {
        let (own, label) = if n % 2 == 0 { (signs[0], "good") } else { (signs[1], "bad") };
        rows += &format!(
            "{}{}{own}{own}{},{label}\n",
            signs[2 + n % 4],
            signs[2 + n / 4 % 4],
            signs[2 + n / 16 % 4]
        );
    }
    world.write("chinese.csv", rows);
    let (recipe, said) = written(&world, &["--data", "chinese.csv"]);
    assert!(
        recipe.contains("characters = { min = 1, max = 2 }") && said.contains("without spaces"),
        "{said}{recipe}"
    );
    runs(&world, "recipe.toml");
    // One class with nine tenths of the rows: what to do about it stands in the recipe, and can be switched on.
    let mut rows = String::from("text,label\n");
    for n in 0..200 {
        let (stem, label) = if n % 10 == 0 { ("bru", "rare") } else { ("zel", "common") };
        rows += &format!("{stem}{} {stem}{} n{n},{label}\n", n % 7, n % 5);
    }
    world.write("uneven.csv", rows);
    let (recipe, _) = written(&world, &["--data", "uneven.csv"]);
    assert!(recipe.contains("# class_weights = \"balanced\""), "{recipe}");
    world.write("weighted.toml", recipe.replace("# class_weights", "class_weights"));
    runs(&world, "weighted.toml");
}

#[test]
fn a_quick_run_obeys_and_says_that_it_is_one() {
    let world = World::new();
    let recipe = crate::happy::RECIPE;
    world.write("r.toml", recipe);
    world.does(&["run", "r.toml", "--data", "rows.csv", "--quick", "--seeds", "2", "--out", "o"]);
    let report: serde_json::Value = serde_json::from_slice(&world.read("o/report.json")).unwrap();
    assert_eq!((&report["recipe"]["seeds"], &report["recipe"]["quick"]), (&2.into(), &true.into()));
    for file in ["o/report.json", "o/report.md", "o/report.html"] {
        assert!(String::from_utf8(world.read(file)).unwrap().contains("a quick run:"), "{file}");
    }
    // A part of the data has another vocabulary than the artifact, which is no fault of the data.
    let rows: String =
        (0..900).map(|n| format!("bru{n} zel{},{}\n", n % 31, ["dim", "lit"][n % 2])).collect();
    world.write("many.csv", format!("text,label\n{rows}"));
    world.write(
        "many.toml",
        recipe
            .replace("corpus = \"embedded\"", "files = \"many.csv\"")
            .replace("vocabulary = 100", "vocabulary = 9000"),
    );
    world.does(&["run", "many.toml", "--out", "m", "--seeds", "1"]);
    let opened = String::from_utf8(world.read("many.toml")).unwrap();
    world.write(
        "opened.toml",
        opened.replace("network = {", "path = \"m/artifacts/teacher.0.safetensors\" #"),
    );
    world.refuses(
        &["run", "opened.toml", "--quick", "--out", "n"],
        b"",
        &["opened.toml", "--quick", "so leave that out"],
    );
    world.does(&["plan", "opened.toml"]);
}

#[test]
fn sizes_are_refused_in_the_words_of_the_recipe() {
    let world = World::new();
    let recipe = crate::happy::RECIPE;
    let hidden = |hidden: &str| recipe.replace("hidden = [8]", &format!("hidden = {hidden}"));
    world.write("deep.toml", hidden(&format!("{:?}", [2; 65])));
    world.refuses(&["plan", "deep.toml"], b"", &["deep.toml:6", "hidden is 65 layers", "at most 64"]);
    world.write("deeper.toml", hidden(&format!("{:?}", [2; 700])));
    world.refuses(&["plan", "deeper.toml"], b"", &["hidden is 700 layers"]);
    let widths = ["2"; 65].join(",");
    let train = ["train", "--data", "rows.csv", "--out", "o.safetensors", "--hidden", &widths];
    world.refuses(&train, b"", &["--hidden", "65 layers", "at most 64"]);
    world.write("student.toml", recipe.replace("student = [4]", &format!("student = {:?}", [2; 65])));
    world.refuses(&["plan", "student.toml"], b"", &["student", "65 layers"]);
    world.write("drop.toml", recipe.replace("dropout = 0.1", "dropout = 1.0"));
    world.refuses(&["plan", "drop.toml"], b"", &["drop.toml:6", "dropout is 1", "less than 1"]);
}

#[test]
fn a_budget_that_cannot_be_met_is_refused_before_training() {
    let world = World::new();
    for (steps, says) in [
        ("{ use = \"quant.mixed\", with = { bytes = 1 } }", "take at least"),
        ("{ use = \"quant.mixed\", with = { time = 0.1 } }", "take at least 0.85"),
        ("{ use = \"prune.search\", with = { macs = 1e-300 } }", "with the narrowest layers"),
        ("{ use = \"prune.search\", with = { latency = 1e-300 } }", "with the narrowest layers"),
    ] {
        let variant = format!("{}\n[[variants]]\nid = \"tight\"\nsteps = [{steps}]\n", crate::happy::RECIPE);
        world.write("tight.toml", variant);
        let run = ["run", "tight.toml", "--data", "rows.csv", "--out", "o", "--events", "e.jsonl"];
        world.refuses(&run, b"", &["tight.toml:", "tight: ", says]);
        assert!(!world.path("o").exists(), "a refused run leaves no folder");
    }
}
