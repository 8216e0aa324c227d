//! Writes good inputs for every target: `cargo run --example seeds -- FOLDER`, which the fuzzer then reads.

use nlpress_fuzz::{artifact::FILES, samples::samples, text::BODIES};
use std::io::Error;
use std::path::Path;

fn main() -> Result<(), Error> {
    let folder = std::env::args_os().nth(1).ok_or_else(|| Error::other("usage: seeds FOLDER"))?;
    for (target, _) in BODIES {
        write(&Path::new(&folder).join(target), samples(target))?;
    }
    write(&Path::new(&folder).join("artifact"), FILES.map(Vec::from))?;
    write(&Path::new(&folder).join("tensors"), (0..FILES.len() as u8).map(|which| vec![which; 40]))?;
    let recipe = "schema = 1\nmodel = { network = { mlp = { hidden = [8] } } }\ndata = { corpus = \"embedded\" }\n\
                  [[variants]]\nid = \"a\"\nsteps = [{ use = \"quant.int8\" }]\n";
    write(&Path::new(&folder).join("recipe"), [recipe.into()])
}

fn write(folder: &Path, inputs: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Error> {
    std::fs::create_dir_all(folder)?;
    inputs
        .into_iter()
        .enumerate()
        .try_for_each(|(n, input)| std::fs::write(folder.join(format!("seed-{n}")), input))
}
