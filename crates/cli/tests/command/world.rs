//! A folder to work in, made-up labelled text, and the command with a limit on its time and memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest that any command may take.
const LONGEST: Duration = Duration::from_secs(120);
/// Kilobytes of address space that a command gets, 1 GiB of which the heap reserves and does not touch: far less than hostile
/// headers ask for.
#[cfg(target_os = "linux")]
const MOST_MEMORY: &str = "3145728";

/// A folder that goes away, in which commands run.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    /// A folder with `rows.csv`: 200 rows of made-up words in two classes.
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        world.write("rows.csv", rows());
        world
    }

    /// One with an artifact `a.safetensors` trained on its rows, linear so that words decide alone.
    pub(crate) fn trained() -> Self {
        let world = Self::new();
        let train =
            "train --data rows.csv --out a.safetensors --hidden none --epochs 20 --learning-rate 0.05";
        world.does(&train.split(' ').collect::<Vec<_>>());
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Trains a small artifact.
    pub(crate) fn train(&self, name: &str) {
        self.does(&["train", "--data", "rows.csv", "--out", name, "--hidden", "8", "--epochs", "2"]);
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Done {
        finish(self.start(arguments), input, arguments)
    }

    /// Runs a command that needs no input, with so many kilobytes of memory on top of what starting it takes.
    pub(crate) fn run_within(&self, kilobytes: u64, arguments: &[&str]) -> Done {
        let program = env!("CARGO_BIN_EXE_nlpress");
        let mut command = Command::new("sh");
        // What is mapped and never touched (stacks of threads, the program itself) counts too: some 100 MB.
        let limit = if cfg!(target_os = "linux") {
            format!("ulimit -v {};", kilobytes + 200_000)
        } else {
            String::new()
        };
        command.args(["-c", &format!("{limit} exec \"$0\" \"$@\""), program]);
        command.args(arguments).current_dir(self.folder.path()).env_remove("RUST_LOG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap(), b"", arguments)
    }

    /// Runs a command that must do what it is asked; its standard output.
    pub(crate) fn does(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments, b"");
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.err);
        done.out
    }

    /// The same as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let out = self.does(arguments);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {out}"))
    }

    /// Runs a command that must refuse: exit code 2, every one of `says` on standard error, no panic, and no
    /// file more than before. What it said.
    pub(crate) fn refuses(&self, arguments: &[&str], input: &[u8], says: &[&str]) -> String {
        let before = self.files("");
        let done = self.run(arguments, input);
        assert_eq!(done.code, Some(2), "{arguments:?}: {}{}", done.out, done.err);
        assert!(!done.err.contains("panicked"), "{arguments:?}: {}", done.err);
        for part in says {
            assert!(done.err.contains(part), "{arguments:?}: {part:?} is not in: {}", done.err);
        }
        assert_eq!(
            self.files("").keys().collect::<Vec<_>>(),
            before.keys().collect::<Vec<_>>(),
            "{arguments:?}"
        );
        done.err
    }

    /// Starts a command, on Linux with little memory.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command("exec \"$0\" \"$@\"", arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// A command that a shell starts: `"$0" "$@"` in its script, or on systems other than Linux the command alone.
    pub(crate) fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_nlpress");
        #[cfg(target_os = "linux")]
        let mut command = {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("ulimit -v {MOST_MEMORY}; {script}"), program]);
            command
        };
        #[cfg(not(target_os = "linux"))]
        let mut command = {
            let _ = script;
            Command::new(program)
        };
        command.args(arguments).current_dir(self.folder.path()).env_remove("RUST_LOG").env_remove("NO_COLOR");
        command
    }

    /// Runs a command from a script of the shell, with nothing on standard input.
    #[cfg(target_os = "linux")]
    pub(crate) fn shell(&self, script: &str, arguments: &[&str]) -> Done {
        let mut command = self.command(script, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap(), b"", arguments)
    }

    /// Every file below a folder, by its path there, with its bytes.
    pub(crate) fn files(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let root = self.path(below);
        gather(&root, &root, &mut files);
        files
    }
}

/// Feeds a command and waits for its end.
pub(crate) fn finish(mut child: Child, input: &[u8], arguments: &[&str]) -> Done {
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that refuses early reads nothing, so writing may fail.
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let out = reader(child.stdout.take().unwrap());
    let err = reader(child.stderr.take().unwrap());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LONGEST {
            child.kill().unwrap();
            panic!("{arguments:?} took longer than {LONGEST:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    feed.join().unwrap();
    Done { code: status.code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

fn reader(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn gather(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            // Reading a pipe would wait for a writer.
            let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            files.insert(name, bytes);
        }
    }
}

/// Rows in which three words tell the class and three tell nothing.
fn rows() -> String {
    let mut state = 7_u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut text = String::from("text,label\n");
    for row in 0..200 {
        let (stem, label) = if row % 2 == 0 { ("bru", "dim") } else { ("zel", "lit") };
        for _ in 0..3 {
            write!(text, "{stem}{} und{} ", below(9), below(9)).unwrap();
        }
        writeln!(text, "n{row},{label}").unwrap();
    }
    text
}
