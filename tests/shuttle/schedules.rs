//! Which schedules a test is run under.

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use std::time::Instant;

/// A way to choose who runs next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schedules {
    /// Anybody, at each step.
    Random,
    /// The thread of the highest priority, which changes at so many random steps, less one: finds
    /// each fault of that depth with a probability that can be told beforehand.
    Pct(usize),
}

impl Schedules {
    pub(crate) fn all() -> [Self; 5] {
        [Self::Random, Self::Pct(2), Self::Pct(3), Self::Pct(4), Self::Pct(5)]
    }
}

/// Runs `test` so many times in all, shared among the kinds of schedules. A schedule that fails is
/// printed; `SHUTTLE_RANDOM_SEED` starts from other ones, `SUNDOWN_SHUTTLE_REPLAY` names a file with
/// one that is to be played again.
pub(crate) fn explore(
    name: &str,
    schedules: &[Schedules],
    runs: usize,
    test: impl Fn() + Clone + Send + Sync + 'static,
) {
    if let Some(path) = std::env::var_os("SUNDOWN_SHUTTLE_REPLAY") {
        shuttle::replay_from_file(test, path);
        return;
    }
    let share = runs.div_ceil(schedules.len());
    for kind in schedules {
        let start = Instant::now();
        let test = test.clone();
        let seed = 0x5e55_1072;
        // Printed before as well: a run that fails says by this line which schedules found it.
        println!("{name}, {kind:?}: {share} runs");
        let done = match *kind {
            Schedules::Random => {
                Runner::new(RandomScheduler::new_from_seed(seed, share), config()).run(test)
            }
            Schedules::Pct(depth) => {
                Runner::new(PctScheduler::new_from_seed(seed, depth, share), config()).run(test)
            }
        };
        println!("{name}, {kind:?}: {done} runs in {:.1?}", start.elapsed());
    }
}

fn config() -> Config {
    let mut config = Config::new();
    // The checker searches by recursion, on the main thread's stack.
    config.stack_size = 1 << 20;
    config.silence_warnings = true;
    config
}
