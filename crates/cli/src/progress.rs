//! Shows how a run goes: a bar on a terminal, plain lines otherwise; a JSONL file when asked for; and the log.

use indicatif::{ProgressBar, ProgressStyle};
use nlpress::core::event::{Event, Flow, Sink};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::outcome::refuse;

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Shows events and answers whether to go on.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    events: Option<Mutex<File>>,
}

impl Progress {
    /// Starts to listen, to Ctrl-C too. `events` is a file that every event is appended to.
    pub(crate) fn start(events: Option<&Path>) -> anyhow::Result<Self> {
        ctrlc::set_handler(|| {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130); // asked twice: every file is written beside and renamed, so none is half-written
            }
        })?;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} [{elapsed_precise}] {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let events = match events {
            None => None,
            Some(path) => {
                let file = File::options().create(true).append(true).open(path);
                Some(Mutex::new(file.map_err(|e| refuse(format!("{}: {e}", path.display())))?))
            }
        };
        Ok(Self { bar, events })
    }

    fn show(&self, event: &Event) {
        match (event, &self.bar) {
            (Event::RunStarted { total, .. }, Some(bar)) => bar.set_length(*total),
            (Event::RunStarted { name, total }, None) => eprintln!("{name}: {total} models to make"),
            (Event::StepStarted { variant, step, .. }, Some(bar)) => {
                bar.set_message(format!("{variant}: {step}"))
            }
            (Event::Progress { what, done, total }, Some(bar)) => {
                bar.tick();
                if *total > 0 && *done == 0 {
                    bar.set_message(what.clone());
                }
            }
            (Event::StepFinished { .. }, Some(bar)) => bar.inc(1),
            (Event::StepFinished { variant, step, seconds, .. }, None) => {
                eprintln!("{variant}: {step}: {seconds:.1} s");
            }
            (Event::EpochFinished { epoch, epochs, loss, valid_accuracy }, bar) => {
                let accuracy = valid_accuracy.map(|a| format!(", validation accuracy {:.2} %", 100.0 * a));
                let line = format!("epoch {epoch}/{epochs}: loss {loss:.4}{}", accuracy.unwrap_or_default());
                tracing::info!("{line}");
                if let Some(bar) = bar {
                    bar.tick();
                }
            }
            (Event::Note { text }, Some(bar)) => bar.println(text),
            (Event::Note { text }, None) => eprintln!("{text}"),
            (Event::RunFinished { .. }, Some(bar)) => bar.finish_and_clear(),
            (Event::RunFinished { seconds }, None) => eprintln!("done in {seconds:.1} s"),
            _ => {}
        }
    }
}

impl Sink for Progress {
    fn push(&self, event: &Event) -> Flow {
        tracing::debug!(?event);
        self.show(event);
        if let (Some(file), Ok(line)) = (&self.events, serde_json::to_string(event))
            && let Ok(mut file) = file.lock()
            && let Err(error) = writeln!(file, "{line}")
        {
            tracing::warn!("the event log could not be written: {error}");
        }
        if STOP.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue }
    }
}
