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
    assert!(!said.contains("good.toml:"), "{said}");
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
