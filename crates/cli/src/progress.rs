//! Shows how a run goes: a bar on a terminal, plain lines otherwise; a JSONL file when asked for; and the log.

use indicatif::{ProgressBar, ProgressStyle};
use nlpress::core::event::{Event, Flow, Sink, Stopped};
use nlpress::core::shown::counted;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;

use crate::outcome::{of_file, printable, tell};
use crate::signals::SafePoints;

/// Shows events and answers whether to go on.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    /// Until it cannot be written any more.
    events: Mutex<Option<File>>,
    signals: SafePoints,
}

impl Progress {
    /// Starts to listen, to signals at safe points too. `events` is a file that every event is appended to.
    pub(crate) fn start(events: Option<&Path>) -> anyhow::Result<Self> {
        let events = match events {
            None => None,
            Some(path) => {
                let file = File::options().create(true).append(true).open(path);
                Some(file.map_err(|e| of_file(path, e))?)
            }
        };
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} [{elapsed_precise}] {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let signals = SafePoints::start();
        tracing::debug!("signals are answered at safe points");
        Ok(Self { bar, events: Mutex::new(events), signals })
    }

    /// The work that has safe points is done.
    ///
    /// # Errors
    /// [`Stopped`] when a signal came after the last of them.
    pub(crate) fn end(&self) -> Result<(), Stopped> {
        self.signals.end()
    }

    fn show(&self, event: &Event) {
        match (event, &self.bar) {
            (Event::RunStarted { total, .. }, Some(bar)) => bar.set_length(*total),
            (Event::RunStarted { name, total }, None) => {
                tell!("{name}: {} to make", counted(*total, "model"))
            }
            (Event::StepStarted { variant, step, .. }, Some(bar)) => {
                bar.set_message(printable(&format!("{variant}: {step}")))
            }
            (Event::Progress { what, done, total }, Some(bar)) => {
                bar.tick();
                if *total > 0 && *done == 0 {
                    bar.set_message(printable(what));
                }
            }
            (Event::StepFinished { .. }, Some(bar)) => bar.inc(1),
            (Event::StepFinished { variant, step, kept: true, .. }, None) => {
                tell!("{variant}: {step}: kept from an earlier run");
            }
            (Event::StepFinished { variant, step, seconds, .. }, None) => {
                tell!("{variant}: {step}: {seconds:.1} s");
            }
            (Event::EpochFinished { epoch, epochs, loss, valid_accuracy }, bar) => {
                let accuracy = valid_accuracy.map(|a| format!(", validation accuracy {:.2} %", 100.0 * a));
                let line = format!("epoch {epoch}/{epochs}: loss {loss:.4}{}", accuracy.unwrap_or_default());
                tracing::info!("{line}");
                if let Some(bar) = bar {
                    bar.tick();
                }
            }
            (Event::Note { text }, Some(bar)) => bar.println(printable(text)),
            (Event::Note { text }, None) => tell!("{text}"),
            (Event::RunFinished { .. }, Some(bar)) => bar.finish_and_clear(),
            (Event::RunFinished { seconds }, None) => tell!("done in {seconds:.1} s"),
            _ => {}
        }
    }
}

impl Sink for Progress {
    fn push(&self, event: &Event) -> Flow {
        tracing::debug!(?event);
        self.show(event);
        if let Ok(mut events) = self.events.lock()
            && let (Some(file), Ok(line)) = (events.as_mut(), serde_json::to_string(event))
            && let Err(error) = file.write_all(format!("{line}\n").as_bytes())
        {
            tell!("note: the event log ends here, for it cannot be written any more: {error}");
            *events = None;
        }
        if self.signals.asked() { Flow::Stop } else { Flow::Continue }
    }
}

/// Hears events and shows none of them: what a process that follows another one does, which shows them for all.
#[derive(Debug)]
pub(crate) struct Unheard(SafePoints);

impl Unheard {
    /// Starts to listen to signals at safe points.
    pub(crate) fn start() -> Self {
        Self(SafePoints::start())
    }
}

impl Sink for Unheard {
    fn push(&self, _: &Event) -> Flow {
        if self.0.asked() { Flow::Stop } else { Flow::Continue }
    }
}
