//! What a log says: how many sessions would have lived at once under these lifetimes.
//!
//! Exact, and without a cache: a session is the span from its first request to the first moment at
//! which it is idle or lived out, by the rule in the essay of `examples/replay/run.rs`. The tests
//! compare the peaks with replays through a cache.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error;
use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use crate::formats::{Event, Format, Key, Trace};
use crate::rate::Rate;

/// The sessions of a log in figures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Log {
    pub(crate) sessions: u64,
    pub(crate) span: Duration,
    /// How long a session lived, on average.
    pub(crate) mean_lifetime: Duration,
    /// Concurrent sessions: the mean over the span, and the highest.
    pub(crate) mean: f64,
    pub(crate) peak: u64,
    /// The highest in each half of the span; none if all happened at one time.
    pub(crate) halves: Option<[u64; 2]>,
    /// Lines that could not be read, and what was wrong with the first.
    pub(crate) bad_lines: u64,
    pub(crate) first_flaw: Option<String>,
}

/// When a session begins to live, and from when on it does not.
type Span = (u64, u64);

impl Log {
    /// Reads a log, with the lifetimes that its sessions are to have.
    ///
    /// # Errors
    ///
    /// In words for the person who named it: the file cannot be read, or says nothing.
    pub(crate) fn read(
        path: PathBuf,
        format: Format,
        idle: Option<Duration>,
        live: Option<Duration>,
    ) -> Result<Self, String> {
        if !format.has_times() {
            return Err(
                "--format: this one has no times, so it cannot tell how many sessions live \
                        at once"
                    .to_owned(),
            );
        }
        let name = path.display().to_string();
        let mut trace = Trace::new(format, vec![path]);
        let mut sessions =
            Sessions { idle_ms: millis(idle), live_ms: millis(live), ..Sessions::default() };
        for event in &mut trace {
            sessions.take(event.map_err(|error| format!("--log: {}", with_causes(&error)))?);
        }
        let (bad_lines, first_flaw) = (trace.bad().count, trace.bad().first.first().cloned());
        let Some(first_ms) = sessions.first_ms else {
            let why = match first_flaw {
                Some(flaw) => format!("no line of {name} is an event in this format; {flaw}"),
                None => format!("{name} has no events"),
            };
            return Err(format!("--log: {why}"));
        };
        let last_ms = sessions.now_ms;
        let log = Self::of(&sessions.finish(), first_ms, last_ms);
        Ok(Self { bad_lines, first_flaw, ..log })
    }

    /// The mean over the span; a log of one moment counts as one of a second.
    pub(crate) fn rate(&self) -> Rate {
        Rate::of_seconds(self.sessions as f64 / self.span.max(Duration::from_secs(1)).as_secs_f64())
    }

    /// The figures of these sessions, seen from `first_ms` to `last_ms`.
    fn of(spans: &[Span], first_ms: u64, last_ms: u64) -> Self {
        let span_ms = last_ms - first_ms;
        let middle_ms = first_ms + span_ms.div_ceil(2);
        let mut begins: Vec<u64> = spans.iter().map(|&(begin, _)| begin).collect();
        let mut ends: Vec<u64> = spans.iter().map(|&(_, end)| end).collect();
        begins.sort_unstable();
        ends.sort_unstable();
        let live_at = |at_ms: u64| {
            let begun = begins.partition_point(|&begin| begin <= at_ms);
            (begun - ends.partition_point(|&end| end <= at_ms)) as u64
        };
        // The number rises with beginnings only; the second half begins with what is live then.
        let mut halves = [0, live_at(middle_ms)];
        for &begin in &begins {
            let half = &mut halves[usize::from(begin >= middle_ms)];
            *half = (*half).max(live_at(begin));
        }
        let lived_ms: f64 = spans.iter().map(|&(begin, end)| (end - begin) as f64).sum();
        let seen_ms: f64 =
            spans.iter().map(|&(begin, end)| (end.min(last_ms) - begin) as f64).sum();
        let [first, second] = halves;
        let peak = first.max(second);
        Self {
            sessions: spans.len() as u64,
            span: Duration::from_millis(span_ms),
            mean_lifetime: Duration::from_millis((lived_ms / spans.len() as f64).round() as u64),
            mean: if span_ms == 0 { peak as f64 } else { seen_ms / span_ms as f64 },
            peak,
            halves: (span_ms > 0).then_some(halves),
            bad_lines: 0,
            first_flaw: None,
        }
    }
}

/// The sessions of the events so far.
#[derive(Default)]
struct Sessions {
    idle_ms: u64,
    live_ms: u64,
    first_ms: Option<u64>,
    /// The largest time so far: logs step back.
    now_ms: u64,
    /// The last session of each key: when it began and when it was last used.
    last: HashMap<Key, (u64, u64)>,
    /// Those before it.
    ended: Vec<Span>,
}

impl Sessions {
    fn take(&mut self, Event { at_ms, key }: Event) {
        self.first_ms.get_or_insert(at_ms);
        self.now_ms = self.now_ms.max(at_ms);
        let now_ms = self.now_ms;
        match self.last.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert((now_ms, now_ms));
            }
            Entry::Occupied(mut last) => {
                let (began_ms, used_ms) = *last.get();
                let end_ms = end_ms(self.idle_ms, self.live_ms, began_ms, used_ms);
                if end_ms <= now_ms {
                    self.ended.push((began_ms, end_ms));
                    last.insert((now_ms, now_ms));
                } else {
                    last.insert((began_ms, now_ms));
                }
            }
        }
    }

    fn finish(self) -> Vec<Span> {
        let Self { idle_ms, live_ms, last, mut ended, .. } = self;
        let rest = last.into_values();
        ended.extend(rest.map(|(began, used)| (began, end_ms(idle_ms, live_ms, began, used))));
        ended
    }
}

fn end_ms(idle_ms: u64, live_ms: u64, began_ms: u64, used_ms: u64) -> u64 {
    used_ms.saturating_add(idle_ms).min(began_ms.saturating_add(live_ms))
}

/// Rounded up: no event could tell a part of a millisecond.
fn millis(lifetime: Option<Duration>) -> u64 {
    lifetime.map_or(u64::MAX, |lifetime| lifetime.as_nanos().div_ceil(1_000_000) as u64)
}

fn with_causes(error: &dyn Error) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
