//! Processor time and wake-ups, by the kernel's count.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time that the calling thread has used.
pub fn thread_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

/// The processor time that all threads of this process have used.
pub fn process_time() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

fn time_of(clock: ClockId) -> Duration {
    clock_gettime(clock).try_into().expect("time does not run backwards")
}

/// How long the calling thread has been ready to run while others had the processors.
///
/// # Errors
///
/// If there is no Linux to ask.
pub fn queued_time() -> io::Result<Duration> {
    queued_in(&fs::read_to_string("/proc/thread-self/schedstat")?)
        .ok_or_else(|| io::Error::other("schedstat has another format"))
}

/// The second of three figures.
fn queued_in(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// How often threads of this process other than the calling one have gone to sleep or been put
/// aside, those that have ended not counted.
///
/// # Errors
///
/// If there is no Linux to ask.
pub fn context_switches_of_others() -> io::Result<u64> {
    let own = fs::read_link("/proc/thread-self")?;
    let mut switches = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        if own.file_name() == Some(&task.file_name()) {
            continue;
        }
        // A thread may end between the listing and the look.
        if let Ok(status) = fs::read_to_string(task.path().join("status")) {
            switches += switches_in(&status);
        }
    }
    Ok(switches)
}

fn switches_in(status: &str) -> u64 {
    let lines = status.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
    lines.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_switches_count() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n";
        assert_eq!(switches_in(status), 7);
    }

    #[test]
    fn the_time_in_the_queue_is_the_second_figure() {
        assert_eq!(queued_in("812000 67438 3\n"), Some(Duration::from_nanos(67_438)));
        assert_eq!(queued_in("812000"), None);
    }

    #[test]
    fn only_work_takes_processor_time() {
        let start = thread_time();
        while thread_time() == start {
            std::hint::spin_loop();
        }
        assert!(process_time() >= thread_time());
    }
}
