//! `nlpress completions` and `nlpress man`: what clap makes of the command line.

use clap::CommandFactory;
use nlpress::core::files;
use std::io::{self, Write};

use crate::arguments::{Arguments, Completions, Man};
use crate::outcome::of_file;

pub(crate) fn completions(arguments: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new(); // clap panics where it cannot write
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "nlpress", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

pub(crate) fn man(arguments: &Man) -> anyhow::Result<()> {
    let mut command = Arguments::command();
    command.build();
    let Some(folder) = &arguments.out else {
        return Ok(io::stdout().write_all(&page(command)?)?);
    };
    let mut all = vec![command];
    while let Some(command) = all.pop() {
        all.extend(command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").cloned());
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        let path = folder.join(format!("{name}.1"));
        files::write_atomically(&path, &page(command)?).map_err(|e| of_file(&path, e))?;
    }
    Ok(())
}

fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
