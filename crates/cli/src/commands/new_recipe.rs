//! `nlpress new-recipe`.

use nlpress::core::files;
use nlpress::pipeline::draft::{DraftError, Hints, draft};
use nlpress::text::CorpusOptions;
use std::path::Path;

use crate::arguments::NewRecipe;
use crate::data;
use crate::outcome::{of_file, refuse, say, sort, tell};

pub(crate) fn new_recipe(arguments: &NewRecipe) -> anyhow::Result<()> {
    let NewRecipe { data, out, .. } = arguments;
    files::Outputs::new().input("--data", data).output("--out", out).check().map_err(sort)?;
    if out.exists() {
        return Err(refuse(format!("{}: it is there already; give another name by --out", out.display())));
    }
    if data == Path::new("-") {
        return Err(refuse("a recipe names its file, so --data cannot be standard input"));
    }
    let column = |name: &Option<String>| name.as_deref().map(data::column);
    let hints = Hints {
        text: column(&arguments.text_column),
        label: column(&arguments.label_column),
        options: CorpusOptions {
            format: arguments.format,
            encoding: arguments.encoding,
            header: !arguments.no_header,
            delimiter: arguments.delimiter,
            skip_bad_rows: arguments.skip_bad_rows,
            ..CorpusOptions::default()
        },
    };
    let draft = draft(data, out, &hints).map_err(|e| match e {
        DraftError::Recipe(_) | DraftError::Plan(_) => e.into(),
        other => sort(other),
    })?;
    files::write_atomically(out, draft.text.as_bytes()).map_err(|e| of_file(out, e))?;
    draft.notes.iter().for_each(|note| tell!("{note}"));
    let path = out.display();
    say!("{path} is written; `nlpress plan {path}` shows what it makes, `nlpress run {path}` makes it");
    Ok(())
}
