//! Chance, from one seed: the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of draws that is decided by a seed and a name.
#[derive(Clone, Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream with that number: streams of one seed have nothing to do with each other.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self(random)
    }

    /// A number below `end`, all alike to within 2^-32 for what is drawn here.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `least` to `most`, all alike.
    pub(crate) fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True once in `times` draws.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A number from `least` to `most`, all orders of magnitude alike.
    pub(crate) fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let share = self.0.next_u64() as f64 / u64::MAX as f64;
        let ratio = most as f64 / least as f64;
        ((least as f64 * ratio.powf(share)) as u64).clamp(least, most)
    }
}
