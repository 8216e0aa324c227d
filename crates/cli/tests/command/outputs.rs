//! Where the command writes: never over what it reads, never over what is no file, and on when nobody reads it.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::Stdio;

use crate::happy::{RECIPE, hashes};
use crate::world::World;

const RUN: [&str; 7] = ["run", "r.toml", "--data", "rows.csv", "--quick", "--out", "out"];
const TRAIN: [&str; 9] =
    ["train", "--data", "rows.csv", "--hidden", "8", "--epochs", "2", "--out", "a.safetensors"];

#[test]
fn a_lost_standard_error_stops_nothing() {
    let world = World::new();
    world.write("r.toml", RECIPE);
    world.does(&RUN);
    let expected = hashes(&world, "out");
    for lost in ["2>/dev/full", "2>&-"] {
        std::fs::remove_dir_all(world.path("out")).unwrap();
        let done = world.shell(&format!("exec \"$0\" \"$@\" {lost}"), &RUN);
        assert_eq!(done.code, Some(0), "{lost}");
        assert_eq!(hashes(&world, "out"), expected, "{lost}");
    }
    // A reader that leaves before the first line.
    std::fs::remove_dir_all(world.path("out")).unwrap();
    let mut command = world.command("exec \"$0\" \"$@\"", &[&RUN[..], &["--log", "debug"]].concat());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(hashes(&world, "out"), expected);

    // What is refused, failed or asked for keeps its code.
    let cases: [(&[&str], i32); 6] = [
        (&["predict", "none.safetensors", "x"], 2),
        (&["run", "none.toml"], 2),
        (&["squeeze"], 2),
        (&["train", "--data", "rows.csv", "--out", "o", "--epochs", "x"], 2),
        (&["--help"], 0),
        (&TRAIN, 0),
    ];
    for (arguments, code) in cases {
        let arguments =
            [arguments, if arguments[0] == "train" { &["--log", "trace"][..] } else { &[] }].concat();
        let done = world.shell("exec \"$0\" \"$@\" 2>/dev/full", &arguments);
        assert_eq!(done.code, Some(code), "{arguments:?}");
    }
}

#[test]
fn a_full_standard_output_is_a_failure() {
    let world = World::new();
    world.train("a.safetensors");
    world.write("r.toml", RECIPE);
    let cases: [&[&str]; 16] = [
        &["techniques", "--json"],
        &["inspect", "a.safetensors", "--json"],
        &["plan", "r.toml", "--quick"],
        &["eval", "a.safetensors", "--data", "rows.csv"],
        &["bench", "a.safetensors", "--data", "rows.csv", "--rounds", "5", "--json"],
        &TRAIN,
        &["new-recipe", "--data", "rows.csv", "--out", "-"],
        &["--version"],
        &["techniques"],
        &["techniques", "quant.int8"],
        &["inspect", "a.safetensors"],
        &["model", "summary", "a.safetensors"],
        &["--help"],
        &["completions", "bash"],
        &["man"],
        &["predict", "a.safetensors", "bru1"],
    ];
    for arguments in cases {
        let done = world.shell("exec \"$0\" \"$@\" >/dev/full", arguments);
        assert_eq!(done.code, Some(1), "{arguments:?}: {}", done.err);
        let says = "error: standard output: cannot be written: No space left";
        assert!(done.err.contains(says) && !done.err.contains("panicked"), "{arguments:?}: {}", done.err);
    }
}

#[test]
fn a_hyphen_is_standard_output_or_refused() {
    let world = World::new();
    world.write("r.toml", RECIPE);
    world.train("a.safetensors");
    let eval = ["eval", "a.safetensors", "--data", "rows.csv", "--errors", "-"];
    let run = ["run", "r.toml", "--data", "rows.csv", "--quick"];
    let cases: [&[&str]; 7] = [
        &["train", "--data", "rows.csv", "--out", "-"],
        &["train", "--data", "rows.csv", "--out", "o.safetensors", "--checkpoint", "-"],
        &[&run[..], &["--out", "-"]].concat(),
        &[&run[..], &["--out", "o", "--events", "-"]].concat(),
        &["techniques", "--markdown", "-"],
        &["man", "--out", "-"],
        &eval,
    ];
    for arguments in cases {
        world.refuses(arguments, b"", &["'-'", "standard output"]);
    }
    let printed = world.run(&["new-recipe", "--data", "rows.csv", "--out", "-"], b"");
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    assert!(!world.path("-").exists());
    world.does(&["new-recipe", "--data", "rows.csv"]);
    assert_eq!(printed.out.as_bytes(), world.read("recipe.toml"));
}

#[test]
fn what_other_runs_left_in_a_folder_is_said_and_stays() {
    let world = World::new();
    world.write("r.toml", RECIPE);
    let done = world.run(&RUN, b"");
    assert!(done.code == Some(0) && !done.err.contains("not of this run"), "{}", done.err);
    world.write("out/artifacts/mine.safetensors", "of the user");
    let other = RECIPE.replace("id = \"sparse\"", "id = \"thin\"").replace("seed = 3", "seed = 4");
    world.write("other.toml", format!("name = \"the other\"\n{other}"));
    let before = world.files("out/artifacts");
    let run: Vec<&str> = RUN.iter().map(|a| if *a == "r.toml" { "other.toml" } else { a }).collect();
    let done = world.run(&run, b"");
    assert_eq!(done.code, Some(0), "{}", done.err);
    let left = "not of this run and left as it is: 2 artifacts: mine.safetensors, sparse.0.safetensors";
    assert!(
        done.err.contains(left) && done.err.contains("report.json is of another recipe (\"r\""),
        "{}",
        done.err
    );
    let after = world.files("out/artifacts");
    for left in ["mine.safetensors", "sparse.0.safetensors"] {
        assert_eq!(before[left], after[left]);
    }
    let report: serde_json::Value = serde_json::from_slice(&world.read("out/report.json")).unwrap();
    assert!(report["notes"].to_string().contains(left), "{}", report["notes"]);
}

#[test]
fn no_output_is_an_input_or_another_output() {
    let world = World::new();
    world.write("r.toml", RECIPE);
    let words = "steps = [{ use = \"select.words\", with = { file = \"words.txt\" } }";
    world.write(
        "words.toml",
        RECIPE.replacen(
            "steps = [{ use = \"prune.magnitude\"",
            &format!("{words}, {{ use = \"prune.magnitude\""),
            1,
        ),
    );
    world.write("words.txt", "bru1\nzel1\n");
    std::fs::hard_link(world.path("rows.csv"), world.path("hard.csv")).unwrap();
    symlink("rows.csv", world.path("soft.csv")).unwrap();
    world.train("start.safetensors");
    std::fs::create_dir_all(world.path("full/artifacts")).unwrap();
    std::fs::copy(world.path("start.safetensors"), world.path("full/artifacts/teacher.0.safetensors"))
        .unwrap();
    let opened = RECIPE.replace("network = {", "path = \"full/artifacts/teacher.0.safetensors\" #");
    world.write("opened.toml", opened);
    std::fs::create_dir(world.path("data-out")).unwrap();
    std::fs::copy(world.path("rows.csv"), world.path("data-out/report.json")).unwrap();
    let data = RECIPE
        .replace("corpus = \"embedded\"", "files = \"data-out/report.json\"")
        .replace("read = {", "read = { format = \"csv\",");
    world.write("data.toml", data);

    let cases: [(&[&str], &[&str]); 9] = [
        (&["run", "r.toml", "--events", "r.toml"], &["--events r.toml", "recipe"]),
        (&["run", "r.toml", "--events", "./../@/r.toml"], &["--events", "recipe"]),
        (&["run", "r.toml", "--data", "rows.csv", "--events", "rows.csv"], &["--events rows.csv", "data"]),
        (&["run", "r.toml", "--data", "rows.csv", "--events", "hard.csv"], &["--events hard.csv", "data"]),
        (&["run", "r.toml", "--data", "soft.csv", "--events", "rows.csv"], &["--events rows.csv", "data"]),
        (&["run", "words.toml", "--data", "rows.csv", "--events", "words.txt"], &["--events words.txt"]),
        (
            &["run", "r.toml", "--data", "rows.csv", "--out", "o", "--events", "o/report.json"],
            &["--events", "report.json"],
        ),
        (
            &["run", "opened.toml", "--data", "rows.csv", "--out", "full"],
            &["full/artifacts/teacher.0.safetensors"],
        ),
        (&["run", "data.toml", "--out", "data-out"], &["data-out/report.json"]),
    ];
    let name = world.path("").file_name().unwrap().to_str().unwrap().to_owned();
    for (arguments, says) in cases {
        let before = world.files("");
        let arguments: Vec<String> = arguments.iter().map(|a| a.replace('@', &name)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        world.refuses(&arguments, b"", says);
        assert!(world.files("") == before, "{arguments:?} changed a file");
    }
}

#[test]
fn what_is_no_file_is_not_replaced() {
    let world = World::new();
    world.write("r.toml", RECIPE);
    let status = std::process::Command::new("mkfifo").arg(world.path("pipe")).status().unwrap();
    assert!(status.success());
    std::fs::create_dir_all(world.path("out/report.md")).unwrap();
    std::fs::create_dir_all(world.path("folder.1")).unwrap();
    world.refuses(&RUN, b"", &["out/report.md", "folder"]);
    world.refuses(&["run", "r.toml", "--data", "rows.csv", "--out", "rows.csv"], b"", &["rows.csv"]);
    world.refuses(
        &["run", "r.toml", "--data", "rows.csv", "--out", "o", "--events", "folder.1"],
        b"",
        &["--events folder.1"],
    );
    symlink("../pipe", world.path("out/report.html")).unwrap();
    std::fs::remove_dir(world.path("out/report.md")).unwrap();
    world.refuses(&RUN, b"", &["out/report.html", "pipe"]);
    assert!(std::fs::metadata(world.path("pipe")).unwrap().file_type().is_fifo());
    std::fs::create_dir_all(world.path("pages/nlpress-run.1")).unwrap();
    world.refuses(&["man", "--out", "pages"], b"", &["nlpress-run.1"]);
}

#[test]
fn a_log_in_a_file_has_no_colours() {
    let world = World::new();
    let done = world.run(&[&TRAIN[..], &["--log", "debug"]].concat(), b"");
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.err.contains("epoch 2/2") && !done.err.contains('\u{1b}'), "{}", done.err);
}

#[test]
fn a_filter_in_the_environment_that_cannot_be_read_is_said_once() {
    let world = World::new();
    let with = |filter: &str| {
        let mut command = world.command("exec \"$0\" \"$@\"", &["techniques"]);
        let output = command.env("RUST_LOG", filter).output().unwrap();
        assert!(output.status.success(), "{filter}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = with("nlpress=loudly");
    assert!(said.lines().count() == 1 && said.contains("RUST_LOG=\"nlpress=loudly\" is not used"), "{said}");
    assert_eq!((with("nlpress=info"), with("")), (String::new(), String::new()));
}

#[test]
fn completions_and_manual_pages_are_made_of_the_command_line() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.does(&["completions", shell]);
        assert!(script.contains("nlpress") && script.contains("checkpoint"), "{shell}");
    }
    world.refuses(&["completions", "command.com"], b"", &["command.com", "zsh"]);
    assert!(world.does(&["man"]).starts_with(".ie"));
    world.does(&["man", "--out", "pages"]);
    let pages: Vec<String> = world.files("pages").into_keys().collect();
    for page in
        ["nlpress.1", "nlpress-run.1", "nlpress-train.1", "nlpress-model-summary.1", "nlpress-completions.1"]
    {
        assert!(pages.iter().any(|p| p == page), "{page} is not in {pages:?}");
    }
    assert!(!pages.iter().any(|p| p.contains("rss") || p.contains("help")), "{pages:?}");
    // Every page that a page names is there.
    for page in &pages {
        let text = String::from_utf8(world.read(&format!("pages/{page}"))).unwrap().replace('\\', "");
        for named in text.match_indices("(1)").map(|(end, _)| &text[..end]) {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let start = named.rfind(|c| !word(c)).map_or(0, |at| at + 1);
            let named = format!("{}.1", &named[start..]);
            assert!(pages.contains(&named), "{page} names {named}: {pages:?}");
        }
    }
    let train = String::from_utf8(world.read("pages/nlpress-train.1")).unwrap();
    assert!(train.contains("checkpoint"), "{train}");
}

#[test]
fn nothing_that_training_or_scoring_reads_is_written_over() {
    let world = World::new();
    let rows = String::from_utf8(world.read("rows.csv")).unwrap();
    world.write("stop.txt", "the\n");
    world.write("notes", "not a checkpoint");
    std::fs::create_dir_all(world.path("data/my")).unwrap();
    let object = |line: &str| {
        let (text, label) = line.split_once(',').unwrap();
        format!("{{\"text\": \"{text}\", \"label\": \"{label}\"}}\n")
    };
    let lines: String = rows.lines().skip(1).map(object).collect();
    let splits = ["train", "valid", "test"].map(|split| format!("data/my/{split}.jsonl"));
    for split in &splits {
        world.write(split, &lines);
    }
    let stop = ["train", "--data", "rows.csv", "--stop-words", "stop.txt"];
    world.refuses(&[&stop[..], &["--out", "stop.txt"]].concat(), b"", &["--out", "--stop-words stop.txt"]);
    let kept = ["--out", "o.safetensors", "--checkpoint", "stop.txt"];
    world.refuses(&[&stop[..], &kept].concat(), b"", &["--checkpoint", "--stop-words stop.txt"]);
    for split in &splits {
        world.refuses(&["train", "--corpus", "my", "--out", split], b"", &["--out", split, "--corpus"]);
        let eval = ["eval", "a.safetensors", "--corpus", "my", "--errors", split];
        world.refuses(&eval, b"", &["--errors", split, "--corpus"]);
        assert_eq!(world.read(split), lines.as_bytes());
    }
    let over = ["train", "--data", "rows.csv", "--out", "o.safetensors", "--checkpoint", "notes"];
    world.refuses(&over, b"", &["notes", "not an nlpress checkpoint"]);
    assert_eq!(world.read("notes"), b"not a checkpoint");
}

#[test]
fn a_limit_on_files_and_a_full_device_are_failures_that_leave_nothing() {
    let world = World::new();
    let wide =
        ["train", "--data", "rows.csv", "--hidden", "2000", "--epochs", "1", "--out", "o/a.safetensors"];
    let limited = world.shell("ulimit -f 64; exec \"$0\" \"$@\"", &wide);
    assert_eq!(limited.code, Some(1), "{}", limited.err);
    assert!(
        limited.err.contains("a.safetensors") && limited.err.contains("model is lost"),
        "{}",
        limited.err
    );
    assert!(world.files("o").is_empty(), "{:?}", world.files("o").keys());
    let kept = [&wide[..], &["--checkpoint", "kept.safetensors"]].concat();
    // A file system of its own, where the system lets a user have one.
    let mounted = |then: &str| {
        let script =
            format!("exec unshare -rm sh -c 'mount -t tmpfs -o size=64k none o && {then}' \"$0\" \"$@\"");
        world.shell(&script, &kept)
    };
    if mounted("true").code != Some(0) {
        return;
    }
    let full = mounted("\"$0\" \"$@\"; code=$?; ls -A o >&2; exit $code");
    assert_eq!(full.code, Some(1), "{}", full.err);
    assert!(
        full.err.contains("No space left") && full.err.contains("kept in kept.safetensors"),
        "{}",
        full.err
    );
    assert!(!full.err.contains("partial"), "{}", full.err);
    // The training is not lost: another place takes it.
    let done = world.run(&[&kept[..], &["--resume"]].concat(), b"");
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(world.path("o/a.safetensors").is_file());
}

#[test]
fn places_that_cannot_be_replaced_are_found_before_the_work() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.train("a.safetensors");
    let mode = std::fs::Permissions::from_mode;
    std::fs::set_permissions(world.path("a.safetensors"), mode(0o444)).unwrap();
    world.refuses(&TRAIN, b"", &["--out a.safetensors cannot be written", "read-only"]);
    std::fs::set_permissions(world.path("a.safetensors"), mode(0o644)).unwrap();
    let chattr = |flag: &str, name: &str| {
        let done = std::process::Command::new("chattr").arg(flag).arg(world.path(name)).output();
        done.is_ok_and(|done| done.status.success())
    };
    if chattr("+i", "a.safetensors") {
        let done = world.run(&TRAIN, b"");
        assert!(chattr("-i", "a.safetensors"));
        assert_eq!(done.code, Some(2), "{}", done.err);
        assert!(done.err.contains("immutable"), "{}", done.err);
    }
    std::fs::create_dir(world.path("grows")).unwrap();
    if chattr("+a", "grows") {
        let done = world.run(&["train", "--data", "rows.csv", "--out", "grows/a.safetensors"], b"");
        let left = world.files("grows");
        assert!(chattr("-a", "grows"));
        assert_eq!((done.code, left.len()), (Some(2), 0), "{}", done.err);
        assert!(done.err.contains("chattr +a"), "{}", done.err);
    }
    // Another user's file in a folder that protects it, asked for by a user who may write into the folder.
    std::fs::create_dir(world.path("shared")).unwrap();
    std::fs::copy(world.path("a.safetensors"), world.path("shared/a.safetensors")).unwrap();
    std::fs::set_permissions(world.path("shared"), mode(0o1777)).unwrap();
    std::fs::set_permissions(world.path(""), mode(0o755)).unwrap();
    let nobody = "exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" \"$@\"";
    if world.shell(nobody, &["--version"]).code == Some(0) {
        let done = world.shell(nobody, &["train", "--data", "rows.csv", "--out", "shared/a.safetensors"]);
        assert_eq!(done.code, Some(2), "{}", done.err);
        assert!(done.err.contains("another user"), "{}", done.err);
    }
}

#[test]
fn a_pipe_that_would_be_waited_for_is_refused() {
    let world = World::new();
    let status = std::process::Command::new("mkfifo").arg(world.path("pipe")).status().unwrap();
    assert!(status.success());
    world.write("r.toml", RECIPE);
    let files = RECIPE.replace("corpus = \"embedded\"", "files = \"pipe\"");
    world.write("files.toml", files.replace("read = {", "read = { format = \"csv\","));
    let words =
        "steps = [{ use = \"select.words\", with = { file = \"pipe\" } }, { use = \"prune.magnitude\"";
    world.write("words.toml", RECIPE.replacen("steps = [{ use = \"prune.magnitude\"", words, 1));
    let cases: [&[&str]; 4] = [
        &["plan", "files.toml"],
        &["plan", "words.toml"],
        &["run", "r.toml", "--data", "rows.csv", "--out", "o", "--events", "pipe"],
        &["new-recipe", "--data", "pipe", "--format", "csv"],
    ];
    for arguments in cases {
        world.refuses(arguments, b"", &["pipe", "is a named pipe"]);
    }
    let script = "cat rows.csv | exec \"$0\" \"$@\"";
    let done = world.shell(script, &["new-recipe", "--data", "/dev/stdin", "--format", "csv"]);
    assert!(done.code == Some(2) && done.err.contains("is a named pipe"), "{}", done.err);
}

#[test]
fn threads_that_cannot_be_started_are_named() {
    let world = World::new();
    world.train("a.safetensors");
    // A stack larger than the memory that these tests give: no thread starts, and there is memory for all else.
    let script = "RUST_MIN_STACK=100000000000 exec \"$0\" \"$@\"";
    let threads = ["--threads", "4"];
    // What needs no thread goes on without.
    let eval = ["eval", "a.safetensors", "--data", "rows.csv"];
    let few = world.shell(script, &[&eval[..], &threads].concat());
    assert_eq!((few.code, few.out), (Some(0), world.does(&eval)), "{}", few.err);
    let bench = ["bench", "a.safetensors", "--data", "rows.csv", "--rounds", "5"];
    for command in [&bench[..], &TRAIN] {
        let done = world.shell(script, &[command, &threads].concat());
        assert!(done.code == Some(1) && done.err.contains("4 threads cannot be started"), "{}", done.err);
    }
}
