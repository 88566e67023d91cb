//! A cache's place at a crew.

use std::io;

use super::alarm::Alarm;
use super::crew::Crew;
use super::process;
use crate::platform::sync::{Arc, REPEATS};

/// What is to be done for a cache, again and again.
pub(crate) trait Task: Send {
    /// Does what is due; gives the process's time at which to look again if the alarm does not ring before.
    fn attend(&mut self) -> u64;

    /// Frees the cache, whose last handle went while `attend` ran.
    fn finish(self: Box<Self>);
}

/// How a cache has left its crew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Left {
    /// No thread is at its task or will be: the caller frees the rest.
    Free,
    /// A thread is at its task, and the caller must not wait for it: that thread frees the rest when it
    /// comes out.
    ToItsThread,
}

/// The seat of a cache at a crew.
pub(super) struct Seat {
    crew: Arc<Crew>,
    number: usize,
}

impl Seat {
    pub(super) fn new(crew: Arc<Crew>, number: usize) -> Self {
        Self { crew, number }
    }

    /// Begins to be attended to.
    pub(super) fn begin(&self, task: Box<dyn Task>) {
        self.crew.install(self.number, task);
    }

    /// Has the crew look at the cache by this time of the process.
    pub(super) fn ring_by(&self, at_ns: u64) {
        self.crew.ring(self.number, at_ns);
    }

    pub(super) fn is_crew_wanted(&self) -> bool {
        self.crew.is_wanted()
    }

    /// Takes the task back for good, and calls `stop` before it waits for that.
    pub(super) fn leave(&self, stop: impl FnOnce()) -> Left {
        self.crew.dismiss(self.number, stop)
    }
}

/// Gives a cache a seat, at the process's crew or at one of its own.
///
/// # Errors
///
/// No thread can be started.
pub(crate) fn take_seat(alarm: &Arc<Alarm>, place: Place, task: Box<dyn Task>) -> io::Result<()> {
    let seat = match place {
        Place::Shared if !REPEATS => process::reserve()?,
        Place::Shared => Crew::start(None, false)?.reserve(),
        Place::Own { stack_bytes } => Crew::start(stack_bytes, false)?.reserve(),
    };
    alarm.sit(seat, task);
    Ok(())
}

/// At which crew a cache sits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Shared,
    Own { stack_bytes: Option<usize> },
}
