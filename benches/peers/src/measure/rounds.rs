//! Throughput, in rounds in which everybody takes a turn.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// How many batches of a workload have been begun, by all threads and in all rounds.
///
/// It belongs to the contestant, not to the round: a round that began the workload anew would find
/// in the store what the last one left there, and measure replacements for insertions and hits for
/// misses.
#[derive(Default)]
pub struct Progress(AtomicUsize);

impl Progress {
    /// The number of the next batch; no two callers get the same.
    pub fn next(&self) -> usize {
        // Relaxed: a number, nothing is published by it.
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// How many numbers have been given out.
    pub fn begun(&self) -> usize {
        // Relaxed: see `next`.
        self.0.load(Ordering::Relaxed)
    }
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
    interleave_with(contestants, rounds, || (), |contestant, ()| measure(contestant))
}

/// The same, with a workload for each round that is prepared before it and is the same for all.
pub fn interleave_with<C, W>(
    contestants: &[C],
    rounds: usize,
    mut prepare: impl FnMut() -> W,
    mut measure: impl FnMut(&C, &W) -> Rate,
) -> Vec<Vec<Rate>> {
    let mut rates = vec![Vec::with_capacity(rounds); contestants.len()];
    for round in 0..rounds {
        let workload = prepare();
        for turn in 0..contestants.len() {
            // Who follows whom changes from round to round.
            let contestant = (turn + round) % contestants.len();
            rates[contestant].push(measure(&contestants[contestant], &workload));
        }
    }
    rates
}

/// Calls `batch(thread, n)` on each thread, at least once and until the time is over, where n is the
/// number of the next batch that nobody has begun, in this round or in an earlier one.
///
/// A batch says how many operations and how many hits it made; one without operations ends its
/// thread's round, for the workload is used up. The rate is that of all threads from
/// the first one's start to the last one's end: with more threads than cores, each thread's own
/// time would leave out what it waited for a core.
pub fn throughput(
    threads: usize,
    time: Duration,
    progress: &Progress,
    batch: impl Fn(usize, usize) -> (usize, usize) + Sync,
) -> Rate {
    let barrier = Barrier::new(threads);
    settle_allocator();
    let work = |thread| {
        settle_allocator();
        barrier.wait();
        let start = Instant::now();
        let (mut operations, mut hits) = (0, 0);
        loop {
            let done = batch(thread, progress.next());
            operations += done.0;
            hits += done.1;
            if done.0 == 0 || start.elapsed() >= time {
                break;
            }
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

/// Has glibc's allocator merge the small chunks that were freed so far, those of the arena that the
/// current thread allocates from.
///
/// It puts that off until somebody asks it for more than a kilobyte. What one store has freed in its
/// turn, a million chunks perhaps, would be merged in the turn of the next one that asks.
fn settle_allocator() {
    drop(black_box(Vec::<u8>::with_capacity(4_096)));
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
    fn a_workload_is_prepared_once_a_round_and_is_the_same_for_all() {
        let mut prepared = 0.0;
        let prepare = || {
            prepared += 1.0;
            prepared
        };
        let measure = |_: &(), &workload: &f64| Rate { per_second: workload, hits: 1.0 };
        let rates = interleave_with(&[(), ()], 3, prepare, measure);
        for rates in rates {
            let workloads: Vec<f64> = rates.iter().map(|rate| rate.per_second).collect();
            assert_eq!(workloads, [1.0, 2.0, 3.0]);
        }
    }

    #[test]
    fn a_round_goes_on_where_the_last_one_ended_on_however_many_threads() {
        let (progress, begun) = (Progress::default(), std::sync::Mutex::new(Vec::new()));
        for threads in [1, 3, 2] {
            throughput(threads, Duration::from_millis(5), &progress, |_, batch| {
                thread::sleep(Duration::from_millis(1));
                begun.lock().expect("nobody panics").push(batch);
                (1, 0)
            });
        }
        let mut begun = begun.into_inner().expect("nobody panicked");
        begun.sort_unstable();
        assert_eq!(begun, (0..progress.begun()).collect::<Vec<_>>());
    }

    #[test]
    fn a_round_ends_when_its_workload_is_used_up() {
        let progress = Progress::default();
        throughput(1, Duration::from_secs(60), &progress, |_, batch| {
            assert!(batch <= 10, "the thread was told that there is no more");
            (10 - batch, 0)
        });
        assert_eq!(progress.begun(), 11);
    }

    #[test]
    fn hits_are_a_share_of_operations() {
        let rate = throughput(2, Duration::from_millis(1), &Progress::default(), |_, _| (4, 1));
        assert_eq!(rate.hits, 0.25);
    }

    #[test]
    fn more_threads_than_cores_do_no_more_work() {
        // A batch takes 10 ms, and only one thread is at it at a time.
        let turn = std::sync::Mutex::new(());
        let rate = throughput(8, Duration::from_millis(1), &Progress::default(), |_, _| {
            let _turn = turn.lock().expect("nobody panics");
            thread::sleep(Duration::from_millis(10));
            (1, 1)
        });
        assert!(rate.per_second <= 100.0, "{rate:?}");
    }
}
