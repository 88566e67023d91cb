//! `--try`: a real cache in this process, filled to the planned peak, and what that takes.

use std::thread;
use std::time::Duration;

use bytesize::MIB;
use sundown::{Cache, GiveBack, ProcessMemory};

use crate::figures::{bytes, count};
use crate::memory::{Register, Sessions};
use crate::options::Demand;
use crate::report::resident;
use crate::sizing::footprint;

/// What a trial has found.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    sessions: u64,
    /// How many times the planned peak that is.
    scale: f64,
    pub(crate) planned_bytes: u64,
    pub(crate) resident_bytes: u64,
}

/// So many sessions of each kind.
#[derive(Clone, Copy)]
struct Fill {
    sessions: u64,
    data: usize,
    is_anonymous: bool,
}

impl Trial {
    /// Fills a cache, and looks at the resident memory of the process before and after.
    ///
    /// # Errors
    ///
    /// In words: one session alone is too large, or the platform does not tell resident memory.
    pub(crate) fn run(demand: &Demand) -> Result<Self, String> {
        let peak: u64 = demand.streams.iter().map(resident).sum();
        let memory = ProcessMemory::read();
        let free = memory
            .limit_bytes
            .map(|limit| limit.saturating_sub(memory.container_bytes.unwrap_or(limit)));
        let most = (free.unwrap_or(u64::MAX) / 2).min(MOST_BYTES);
        let scale = peak.clamp(LEAST_BYTES.min(most), most) as f64 / peak as f64;
        let fills: Vec<Fill> = demand
            .streams
            .iter()
            .map(|stream| Fill {
                sessions: (stream.planned(1) as f64 * scale).floor() as u64,
                data: stream.bytes as usize,
                is_anonymous: stream.is_anonymous,
            })
            .collect();
        let sessions: u64 = fills.iter().map(|fill| fill.sessions).sum();
        if sessions == 0 {
            return Err(format!("--try: a single session is more than {}", bytes(most)));
        }
        let planned = demand.streams.iter().zip(&fills);
        let planned_bytes =
            planned.map(|(stream, fill)| fill.sessions * footprint(stream).resident()).sum();
        let before =
            memory.resident_bytes.ok_or("--try: this platform tells no resident memory")?;
        let full = filled(&fills);
        let after = ProcessMemory::read().resident_bytes.unwrap_or(before);
        drop(full);
        Ok(Self { sessions, scale, planned_bytes, resident_bytes: after.saturating_sub(before) })
    }

    /// Whether the plan has enough, and not much too much.
    pub(crate) fn is_good(&self) -> bool {
        let most = self.resident_bytes + self.resident_bytes / 100 * MOST_PERCENT_ABOVE;
        (self.resident_bytes..=most).contains(&self.planned_bytes)
    }

    pub(crate) fn told(&self) -> String {
        let Self { sessions, scale, planned_bytes, resident_bytes } = *self;
        let percent = 100.0 * (planned_bytes as f64 / resident_bytes.max(1) as f64 - 1.0);
        let scaled = match scale {
            scale if scale < 1.0 => format!(" (scaled to {:.1} % of the peak)", scale * 100.0),
            scale if scale > 1.0 => format!(" (scaled to {scale:.1} times the peak)"),
            _ => String::new(),
        };
        let verdict = match self.is_good() {
            true => "good",
            false if percent < 0.0 => "TOO LOW",
            false => "TOO HIGH",
        };
        format!(
            "Tried with {} sessions{scaled}:\nplanned {}, resident {}: the plan is {:.1} % {}, {verdict}",
            count(sessions),
            bytes(planned_bytes),
            bytes(resident_bytes),
            percent.abs(),
            if percent < 0.0 { "below" } else { "above" },
        )
    }
}

/// Fills a cache as a service does, from several threads: glibc gives each an arena of its own, so
/// that what a log has left free in the first thread's does not hide what sessions take.
fn filled(fills: &[Fill]) -> (Sessions, Register) {
    let most: u64 = fills.iter().map(|fill| fill.sessions).sum();
    let (sessions, register): (Sessions, Register) = (cache(most), cache(most));
    for (kind, &fill) in fills.iter().enumerate() {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (sessions, register) = (&sessions, &register);
                scope.spawn(move || {
                    for number in (thread..fill.sessions).step_by(THREADS as usize) {
                        let id = u128::from(number) << 1 | kind as u128;
                        let data = vec![1; fill.data].into_boxed_slice();
                        sessions.insert(id, data).expect("it has room");
                        if fill.is_anonymous {
                            register.insert(id, fill.data as u64).expect("it has room");
                        }
                    }
                });
            }
        });
    }
    assert_eq!(sessions.len() as u64, most, "all of them fit");
    (sessions, register)
}

fn cache<V: Clone + Send + Sync + 'static>(most: u64) -> Cache<u128, V> {
    Cache::builder()
        .max_entries(most as usize)
        .time_to_idle(FOR_THE_TRIAL)
        .time_to_live(FOR_THE_TRIAL)
        .give_back(GiveBack::Never)
        .build()
        .expect("these settings are sound")
}

/// Nothing may expire meanwhile.
const FOR_THE_TRIAL: Duration = Duration::from_secs(86_400);

const THREADS: u64 = 2;

/// In less, the arenas and stacks of threads would be what is measured.
const LEAST_BYTES: u64 = 64 * MIB;

/// A few seconds' work, and little enough for a laptop.
const MOST_BYTES: u64 = 512 * MIB;

/// What a plan may be above the truth: the slack for the least tidy of allocators, and for chance.
const MOST_PERCENT_ABOVE: u64 = 25;

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
