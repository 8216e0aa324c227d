//! Runs by several processes: the same files as by one, whatever becomes of the processes on the way.

use crate::world::{World, finish};
use std::process::Stdio;

#[test]
fn a_build_without_mpi_refuses_to_be_one_of_several() {
    if cfg!(feature = "mpi") {
        return;
    }
    let world = World::new();
    let arguments = ["run", "r.toml", "--data", "rows.csv"];
    let mut command = world.command("exec \"$0\" \"$@\"", &arguments);
    command.env("OMPI_COMM_WORLD_SIZE", "3");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = finish(command.spawn().unwrap(), b"", &arguments);
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("3 processes") && done.err.contains("--features mpi"), "{}", done.err);
}

#[cfg(feature = "mpi")]
mod together {
    use crate::happy::hashes;
    use crate::world::{Done, World, finish};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    fn recipe(epochs: u32, wire: &str) -> String {
        let fit = format!("{{ epochs = {epochs}, batch = 4 }}");
        format!(
            "schema = 1\nseed = 3\nseeds = 1\n\n[model]\nnetwork = {{ mlp = {{ hidden = [32], dropout = 0.2 }} }}\n\n\
             [data]\ncorpus = \"embedded\"\nread = {{ split = {{ train = 80, valid = 10, test = 10 }} }}\n\
             encoder = {{ vocabulary = 100 }}\n\n[train]\nepochs = 1\n\n[controls]\nlinear = false\n\n[[variants]]\nid = \"data\"\n\
             steps = [{{ use = \"parallel.data\", with = {{ workers = 1, shares = 4, compare = false, {wire}fit = {fit} }} }}]\n\n\
             [[variants]]\nid = \"int8\"\nfrom = \"data\"\nsteps = [{{ use = \"quant.int8\" }}]\n"
        )
    }

    const INT8: &str = "wire = { codec = \"int8\", error_feedback = true }, ";

    fn start(world: &World, processes: usize, out: &str, more: &[&str]) -> Child {
        let mut command = Command::new("mpirun");
        command.args(["--allow-run-as-root", "--oversubscribe", "-n", &processes.to_string()]);
        command.arg(env!("CARGO_BIN_EXE_nlpress")).args(["run", "r.toml", "--data", "rows.csv", "--quick"]);
        command.args(["--threads", "1", "--out", out]).args(more);
        command.current_dir(world.path("")).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn run(world: &World, processes: usize, out: &str, more: &[&str]) -> Done {
        finish(start(world, processes, out, more), b"", &["mpirun"])
    }

    #[test]
    fn several_processes_write_what_one_does() {
        let world = World::new();
        for wire in ["", INT8] {
            world.write("r.toml", recipe(4, wire));
            let names = ["one", "two", "four"].map(|name| format!("{name}-{}", wire.len()));
            world.does(&["run", "r.toml", "--data", "rows.csv", "--quick", "--out", &names[0]]);
            for (processes, out) in [(2, &names[1]), (4, &names[2])] {
                let done = run(&world, processes, out, &[]);
                assert_eq!(done.code, Some(0), "{}", done.err);
                assert_eq!(hashes(&world, out), hashes(&world, &names[0]), "{processes} processes");
                let rows = done.out.lines().filter(|line| line.starts_with("data ")).count();
                assert_eq!(rows, 1, "only the first process reports: {}", done.out);
            }
        }
    }

    /// The process of a job with a number other than 0, by what the system says of its children.
    fn follower(job: &Child) -> Option<String> {
        let children = |id: &str| -> Vec<String> {
            let path = format!("/proc/{id}/task/{id}/children");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        let is_follower = |id: &String| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == b"OMPI_COMM_WORLD_RANK=1")
        };
        children(&job.id().to_string()).into_iter().find(is_follower)
    }

    #[test]
    fn a_lost_process_ends_the_job_and_the_next_one_goes_on() {
        let world = World::new();
        for (wire, processes_after) in [("", 4), (INT8, 2)] {
            world.write("r.toml", recipe(300, wire));
            let names = ["whole", "lost"].map(|name| format!("{name}-{}", wire.len()));
            world.does(&["run", "r.toml", "--data", "rows.csv", "--quick", "--out", &names[0]]);

            let job = start(&world, 4, &names[1], &[]);
            let checkpoint = world.path(&format!("{}/checkpoints/data.0.0.state", names[1]));
            let began = Instant::now();
            while !checkpoint.exists() {
                assert!(began.elapsed() < Duration::from_secs(100), "no checkpoint comes");
                std::thread::sleep(Duration::from_millis(2));
            }
            let lost = follower(&job).expect("a process of number 1 is at work");
            assert!(Command::new("kill").args(["-KILL", &lost]).status().unwrap().success());
            let done = finish(job, b"", &["mpirun"]);
            assert_ne!(done.code, Some(0));
            assert!(
                done.err.contains("signal 9") || done.out.contains("signal 9"),
                "{}{}",
                done.out,
                done.err
            );
            assert!(checkpoint.exists());

            let done = run(&world, processes_after, &names[1], &["--resume"]);
            assert_eq!(done.code, Some(0), "{}", done.err);
            assert_eq!(hashes(&world, &names[1]), hashes(&world, &names[0]));
            assert!(!checkpoint.exists(), "a training that is done leaves no checkpoint");
        }
    }
}
