//! Throughput, in rounds in which everybody takes a turn.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::Spread;

/// What one measurement of throughput found.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Operations a second, over all threads.
    pub per_second: f64,
    /// The share of look-ups that found something, if there were any.
    pub hits: f64,
}

/// The rates of all rounds of all contestants: `rates[contestant][round]`.
///
/// A noisy neighbour then slows down all contestants of a round, and the ratio within the round
/// stays.
pub fn interleave<C>(
    contestants: &[C],
    rounds: usize,
    mut measure: impl FnMut(&C) -> Rate,
) -> Vec<Vec<Rate>> {
    let mut rates = vec![Vec::with_capacity(rounds); contestants.len()];
    for round in 0..rounds {
        for turn in 0..contestants.len() {
            // Who follows whom changes from round to round.
            let contestant = (turn + round) % contestants.len();
            rates[contestant].push(measure(&contestants[contestant]));
        }
    }
    rates
}

/// Calls `batch(thread, n)` for n = 0, 1, 2 … on each thread until the time is over.
///
/// A batch says how many operations and how many hits it made. The rate is that of all threads from
/// the first one's start to the last one's end: with more threads than cores, each thread's own
/// time would leave out what it waited for a core.
pub fn throughput(
    threads: usize,
    time: Duration,
    batch: impl Fn(usize, usize) -> (usize, usize) + Sync,
) -> Rate {
    let barrier = Barrier::new(threads);
    let work = |thread| {
        barrier.wait();
        let start = Instant::now();
        let (mut operations, mut hits, mut batches) = (0, 0, 0);
        while start.elapsed() < time {
            let done = batch(thread, batches);
            operations += done.0;
            hits += done.1;
            batches += 1;
        }
        (operations, hits, start, Instant::now())
    };
    let done: Vec<_> = thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        let done = workers.into_iter().map(|worker| worker.join());
        done.map(|done| done.expect("a worker does not panic")).collect()
    });
    let operations: usize = done.iter().map(|done| done.0).sum();
    let hits: usize = done.iter().map(|done| done.1).sum();
    let start = done.iter().map(|done| done.2).min().expect("there is a thread");
    let end = done.iter().map(|done| done.3).max().expect("there is a thread");
    Rate {
        per_second: operations as f64 / (end - start).as_secs_f64(),
        hits: hits as f64 / operations as f64,
    }
}

/// Millions of operations a second.
pub fn mops(rates: &[Rate]) -> Vec<f64> {
    rates.iter().map(|rate| rate.per_second / 1e6).collect()
}

/// The share of hits, in per cent.
pub fn hits(rates: &[Rate]) -> Option<Spread> {
    Spread::of(rates.iter().map(|rate| rate.hits * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_takes_one_turn_a_round_and_keeps_their_own_results() {
        let rates = interleave(&[1.0, 2.0, 3.0], 4, |&name| Rate { per_second: name, hits: 1.0 });
        for (contestant, rates) in rates.iter().enumerate() {
            assert_eq!(rates.len(), 4);
            assert!(rates.iter().all(|rate| rate.per_second == contestant as f64 + 1.0));
        }
    }

    #[test]
    fn hits_are_a_share_of_operations() {
        let rate = throughput(2, Duration::from_millis(1), |_, _| (4, 1));
        assert_eq!(rate.hits, 0.25);
    }

    #[test]
    fn more_threads_than_cores_do_no_more_work() {
        // A batch takes 10 ms, and only one thread is at it at a time.
        let turn = std::sync::Mutex::new(());
        let rate = throughput(8, Duration::from_millis(1), |_, _| {
            let _turn = turn.lock().expect("nobody panics");
            thread::sleep(Duration::from_millis(10));
            (1, 1)
        });
        assert!(rate.per_second <= 100.0, "{rate:?}");
    }
}
