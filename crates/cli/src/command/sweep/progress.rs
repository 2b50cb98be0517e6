//! How a sweep says how far it is: a bar with rate, time left and the best so far where a person looks, else a line
//! now and then. All of it goes to stderr.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{table, talk};

/// How often a line is said where no bar is shown.
const LINE: Duration = Duration::from_secs(30);

pub(crate) struct Progress {
    /// What the identity of a variant covers of the strategy: the same for all of them, so made once.
    pub(crate) strategy: String,
    bar: Option<ProgressBar>,
    quiet: bool,
    total: u64,
    saved: AtomicU64,
    best: Mutex<Option<f64>>,
    said: Mutex<Instant>,
}

impl Progress {
    /// Of `total` variants `saved` are saved already.
    pub(crate) fn new(strategy: String, total: u64, saved: u64, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let bar = shown.then(|| bar(total, saved));
        Self {
            strategy,
            bar,
            quiet,
            total,
            saved: AtomicU64::new(saved),
            best: Mutex::new(None),
            said: Mutex::new(Instant::now()),
        }
    }

    /// A variant was simulated; `words` are asked for when it is the best so far.
    pub(crate) fn simulated(&self, value: Option<f64>, words: impl Fn() -> String) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        let Some(value) = value else { return };
        let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
        if best.is_none_or(|best| value > best) {
            *best = Some(value);
            if let Some(bar) = &self.bar {
                bar.set_message(format!("best {value:.4} at {}", words()));
            }
        }
    }

    /// So many variants are saved now.
    pub(crate) fn saved(&self, variants: u64) {
        let saved = self.saved.fetch_add(variants, Ordering::Relaxed) + variants;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bar.is_none() && !self.quiet && said.elapsed() >= LINE {
            *said = Instant::now();
            talk::say(format!("{} of {} variants", table::count(saved), table::count(self.total)));
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: u64, saved: u64) -> ProgressBar {
    let template = "[{bar:24}] {human_pos}/{human_len} {per_sec} {eta} {wide_msg}";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let target = ProgressDrawTarget::stderr_with_hz(10);
    let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style);
    bar.set_position(saved);
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
