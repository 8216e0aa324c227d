//! `nlpress new-recipe`.

use nlpress::core::files;
use nlpress::core::shown::quoted;
use nlpress::pipeline::draft::draft;
use std::io::ErrorKind;
use std::path::Path;

use crate::arguments::NewRecipe;
use crate::data;
use crate::outcome::{self, of_draft, of_file, refuse, say, sort, tell};

pub(crate) fn new_recipe(arguments: &NewRecipe) -> anyhow::Result<()> {
    let NewRecipe { data, out, .. } = arguments;
    let printed = out == Path::new("-");
    if !printed {
        files::Outputs::new().input("--data", data).output("--out", out).check().map_err(sort)?;
        if out.exists() {
            return Err(refuse(format!(
                "{}: it is there already; give another name by --out",
                out.display()
            )));
        }
    }
    if data == Path::new("-") {
        return Err(refuse("a recipe names its file, so --data cannot be standard input"));
    }
    if let Err(error) = files::open_regular(data)
        && error.kind() == ErrorKind::InvalidInput
    {
        return Err(refuse(format!(
            "--data {}: {error}: a recipe names its file, which is read several times and by every run",
            data.display()
        )));
    }
    let hints = data::hints(&arguments.columns);
    // What is printed names its data as a file in this folder would.
    let place = if printed { Path::new("recipe.toml") } else { out };
    let draft = draft(data, place, &hints).map_err(of_draft)?;
    draft.notes.iter().for_each(|note| tell!("{note}"));
    if printed {
        return Ok(outcome::print(format_args!("{}", draft.text))?);
    }
    files::write_atomically(out, draft.text.as_bytes()).map_err(|e| of_file(out, e))?;
    let path = quoted(&out.to_string_lossy());
    say!(
        "{} is written; `nlpress plan {path}` shows what it makes, `nlpress run {path}` makes it",
        out.display()
    );
    Ok(())
}
