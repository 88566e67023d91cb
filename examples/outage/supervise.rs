//! Starts both halves, lets them go at the same moment, and collects what they tell.
//!
//! A half that dies or hangs must not take the replay with it: that a store crashed or stopped
//! answering is the very thing to report. So each half has a thread that reads its lines, one
//! deadline stands over all, and whatever still runs when this process leaves is ended.

use std::io::{BufRead, BufReader, IsTerminal, Write, stderr};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::figures::bytes;
use crate::message::{End, Message, Sample};
use crate::options::{Contestant, Plan};

/// What one half told.
#[derive(Debug)]
pub(crate) struct Half {
    pub(crate) contestant: Contestant,
    pub(crate) samples: Vec<Sample>,
    /// What the store itself found wrong.
    pub(crate) complaints: Vec<String>,
    /// Absent if the half died or hung.
    pub(crate) end: Option<End>,
    /// Whether its stream has ended, with or without a last word.
    pub(crate) has_closed: bool,
}

impl Half {
    /// The first sample with more resident memory than that.
    pub(crate) fn crossing(&self, limit_bytes: u64) -> Option<&Sample> {
        self.samples.iter().find(|sample| sample.resident_bytes > limit_bytes)
    }

    /// The height of the storm: the most resident memory at any sample.
    pub(crate) fn most_resident(&self) -> u64 {
        self.samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or(0)
    }

    /// The first sample of the end in which resident memory stays within a fifth of the storm's
    /// height.
    pub(crate) fn returned(&self) -> Option<&Sample> {
        let allowed = self.most_resident() / RETURN_SHARE;
        let is_back = |sample: &&Sample| sample.resident_bytes <= allowed;
        self.samples.iter().rev().take_while(is_back).last()
    }
}

/// A line, or `None` at the end of the stream, from the half with that index.
type Told = (usize, Option<String>);

/// Runs the replay.
///
/// # Errors
///
/// If a half cannot be started, or does not draw the same day. A half that fails later is part of
/// the result.
pub(crate) fn replay(plan: &Plan, fingerprint: u64) -> Result<[Half; 2], String> {
    let (tell, told) = channel();
    let mut running = Vec::new();
    for (index, contestant) in CONTESTANTS.into_iter().enumerate() {
        running.push(Running::start(index, contestant, tell.clone())?);
    }
    drop(tell);
    for _ in CONTESTANTS {
        expect_ready(&told, fingerprint)?;
    }
    for half in &mut running {
        half.go()?;
    }
    let mut halves = CONTESTANTS.map(|contestant| Half {
        contestant,
        samples: Vec::new(),
        complaints: Vec::new(),
        end: None,
        has_closed: false,
    });
    collect(plan, &told, &mut halves)?;
    Ok(halves)
}

fn expect_ready(told: &Receiver<Told>, fingerprint: u64) -> Result<(), String> {
    let (index, line) =
        told.recv_timeout(PATIENCE).map_err(|_| "a half of the replay did not get ready")?;
    let name = CONTESTANTS[index].name();
    match line.as_deref().map(str::parse) {
        Some(Ok(Message::Ready { fingerprint: drawn })) if drawn == fingerprint => Ok(()),
        Some(Ok(Message::Ready { .. })) => {
            Err(format!("the half of {name} drew another day from the same seed"))
        }
        _ => Err(format!("the half of {name} did not start")),
    }
}

/// Listens until both halves have closed their streams or the patience is at its end.
fn collect(plan: &Plan, told: &Receiver<Told>, halves: &mut [Half; 2]) -> Result<(), String> {
    let progress = Progress::new(plan.duration);
    let deadline = Instant::now() + plan.duration + PATIENCE;
    while !halves.iter().all(|half| half.has_closed) {
        let (index, line) =
            match told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(told) => told,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            };
        let Some(line) = line else {
            halves[index].has_closed = true;
            continue;
        };
        let half = &mut halves[index];
        match line.parse()? {
            Message::Sample(sample) => half.samples.push(sample),
            Message::Complaint(text) => half.complaints.push(text),
            Message::End(end) => half.end = Some(end),
            Message::Ready { .. } => return Err("a half got ready twice".to_owned()),
        }
        progress.show(halves);
    }
    progress.finish();
    Ok(())
}

/// A half's process, ended when this is dropped.
struct Running(Child);

impl Running {
    fn start(index: usize, contestant: Contestant, tell: Sender<Told>) -> Result<Self, String> {
        let cannot = |error| format!("cannot start the half of {}: {error}", contestant.name());
        let program = std::env::current_exe().map_err(cannot)?;
        let mut child = Command::new(program)
            .args(std::env::args_os().skip(1))
            .arg(format!("--store={}", contestant.argument()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        if let Some(out) = child.stdout.take() {
            // Detached on purpose: it ends with the stream, and a half that hangs must not make
            // anybody wait for it.
            thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    let _ = tell.send((index, Some(line)));
                }
                let _ = tell.send((index, None));
            });
        }
        Ok(Self(child))
    }

    fn go(&mut self) -> Result<(), String> {
        let Some(input) = &mut self.0.stdin else { return Ok(()) };
        writeln!(input, "go").map_err(|error| format!("a half stopped before it began: {error}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bar on a terminal; elsewhere a line every few seconds.
struct Progress {
    bar: ProgressBar,
    began: Instant,
    next_line: std::cell::Cell<Duration>,
}

impl Progress {
    fn new(duration: Duration) -> Self {
        let bar = ProgressBar::new(duration.as_millis() as u64);
        // The template is a constant, so a mistake in it would show at the first run.
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {msg}") {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { bar, began: Instant::now(), next_line: LINE_EVERY.into() }
    }

    fn show(&self, halves: &[Half; 2]) {
        let elapsed = self.began.elapsed();
        let seconds = elapsed.as_secs();
        let held = halves.each_ref().map(|half| {
            let held = half.samples.last().map_or(0, |sample| sample.resident_bytes);
            format!("{}: {}", half.contestant.name(), bytes(held))
        });
        let text = format!("{seconds:>3} s   {}   {}", held[0], held[1]);
        if stderr().is_terminal() {
            self.bar.set_position(elapsed.as_millis() as u64);
            self.bar.set_message(text);
        } else if elapsed >= self.next_line.get() {
            self.next_line.set(self.next_line.get() + LINE_EVERY);
            eprintln!("{text}");
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// In the order of the columns.
const CONTESTANTS: [Contestant; 2] = [Contestant::CheckOnRead, Contestant::Sundown];

/// Memory is back when what is left of a storm is less than this share of its height: sundown leaves
/// a sixteenth alone, and the rest is for what else a process touches in half a minute.
const RETURN_SHARE: u64 = 5;

/// What drawing the day and the final questions may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

const LINE_EVERY: Duration = Duration::from_secs(5);
