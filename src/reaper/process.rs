//! The crew that all caches of a process share, from the first cache to the last.
//!
//! A fork takes along the record of a crew whose threads do not exist in the child, and perhaps its lock,
//! taken. So a child does not touch it, and has a record of its own.

use std::io;

use super::crew::Crew;
use super::seat::Seat;
use crate::platform::sync::{Arc, Mutex, OnceLock};
use crate::platform::thread::Home;

struct Process {
    home: Home,
    crew: Mutex<Option<Arc<Crew>>>,
    child: OnceLock<Box<Self>>,
}

impl Process {
    fn new() -> Self {
        Self { home: Home::here(), crew: Mutex::new(None), child: OnceLock::new() }
    }

    fn here() -> &'static Self {
        static FIRST: OnceLock<Process> = OnceLock::new();
        let mut process = FIRST.get_or_init(Self::new);
        while process.home.is_elsewhere() {
            process = process.child.get_or_init(|| Box::new(Self::new()));
        }
        process
    }
}

/// Reserves a seat at the process's crew, which starts with the first.
///
/// # Errors
///
/// Its thread cannot be started.
pub(super) fn reserve() -> io::Result<Seat> {
    let mut crew = Process::here().crew.lock();
    let crew = match &*crew {
        Some(crew) => crew,
        None => crew.insert(Crew::start(None, true)?),
    };
    Ok(crew.reserve())
}

/// Frees a seat at the process's crew; tells whether it was the last, and the crew's end has come.
pub(super) fn vacate(own: &Crew, number: usize) -> bool {
    let mut crew = Process::here().crew.lock();
    let is_last = own.free(number);
    if is_last {
        *crew = None;
    }
    is_last
}
