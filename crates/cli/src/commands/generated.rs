//! `nlpress completions` and `nlpress man`: what clap makes of the command line.

use clap::CommandFactory;
use nlpress::core::files;
use std::io;
use std::path::PathBuf;

use crate::arguments::{Arguments, Completions, Man};
use crate::outcome::{self, of_file, sort};

pub(crate) fn completions(arguments: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new(); // clap panics where it cannot write
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "nlpress", &mut script);
    Ok(outcome::print_bytes(&script)?)
}

pub(crate) fn man(arguments: &Man) -> anyhow::Result<()> {
    // A page about `help` would say nothing, so no page speaks of it.
    let mut command = without_help(Arguments::command());
    command.build();
    let Some(folder) = &arguments.out else {
        return Ok(outcome::print_bytes(&page(command)?)?);
    };
    let (mut all, mut pages) = (vec![command], Vec::new());
    while let Some(command) = all.pop() {
        all.extend(command.get_subcommands().filter(|c| !c.is_hide_set()).cloned());
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        pages.push((folder.join(format!("{name}.1")), page(command)?));
    }
    write(&pages)
}

fn without_help(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let without = |command: clap::Command, name| command.mut_subcommand(name, without_help);
    names.into_iter().fold(command, without).disable_help_subcommand(true)
}

/// Writes all of these files, or none where one cannot be written.
pub(crate) fn write(pages: &[(PathBuf, Vec<u8>)]) -> anyhow::Result<()> {
    let all = pages.iter().fold(files::Outputs::new(), |all, (path, _)| all.output("the page", path));
    all.check().map_err(sort)?;
    for (path, text) in pages {
        files::write_atomically(path, text).map_err(|e| of_file(path, e))?;
    }
    Ok(())
}

fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
