//! Sessions of half a KiB to one and a half, and the moments at which they expire.

use std::time::{Duration, Instant};

use sundown::{Cache, Lifetime, ProcessMemory};

use crate::Failure;

/// Who is to expire when.
#[derive(Clone, Copy)]
pub struct Plan {
    pub sessions: usize,
    pub threads: usize,
    /// One session in so many outlives the storm; 0 for none.
    pub one_alive_in: usize,
    /// When the storm is.
    pub storm: Instant,
    /// How much later the others expire; `None` if they do not.
    pub rest_after: Option<Duration>,
}

impl Plan {
    pub fn is_alive(&self, number: usize) -> bool {
        self.one_alive_in > 0 && number % self.one_alive_in == 0
    }

    /// How many outlive the storm.
    pub fn alive(&self) -> usize {
        if self.one_alive_in == 0 { 0 } else { self.sessions.div_ceil(self.one_alive_in) }
    }

    /// Inserts the share of one of the plan's threads.
    pub fn fill<V: Send + Sync + 'static>(
        &self,
        cache: &Cache<u128, V>,
        thread: usize,
        session: impl Fn(&[u8]) -> V,
    ) -> Result<(), Failure> {
        let mut maker = Maker::new(thread);
        for number in (thread..self.sessions).step_by(self.threads) {
            let until_storm = self.storm.saturating_duration_since(Instant::now());
            let lifetime = match (self.is_alive(number), self.rest_after) {
                (false, _) => Lifetime::default().live(until_storm),
                (true, Some(after)) => Lifetime::default().live(until_storm + after),
                (true, None) => Lifetime::default().live_forever(),
            };
            let session = session(maker.bytes());
            cache.insert_for(key(number), session, lifetime).map_err(|_| "rejected")?;
        }
        if Instant::now() >= self.storm {
            return Err("filling took until the storm: a longer lifetime is needed".into());
        }
        Ok(())
    }
}

/// A key that looks random and is not met twice.
pub fn key(number: usize) -> u128 {
    let low = mixed(number as u64);
    u128::from(mixed(low)) << 64 | u128::from(low)
}

/// Makes values of pseudo-random length and contents.
pub struct Maker {
    noise: Vec<u8>,
    state: u64,
}

impl Maker {
    pub fn new(seed: usize) -> Self {
        let noise = (0..8_192).flat_map(|n| mixed(n).to_le_bytes()).collect();
        Self { noise, state: mixed(seed as u64) }
    }

    /// 512 to 1,535 bytes.
    pub fn bytes(&mut self) -> &[u8] {
        self.state = mixed(self.state);
        let length = 512 + (self.state & 1_023) as usize;
        let start = (self.state >> 32) as usize % (self.noise.len() - length);
        &self.noise[start..start + length]
    }
}

/// SplitMix64: the golden ratio's step and the mixing function of Steele, Lea and Flood (2014).
fn mixed(number: u64) -> u64 {
    let mut mix = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mix = (mix ^ (mix >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mix = (mix ^ (mix >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mix ^ (mix >> 31)
}

/// The process's resident memory, in MiB.
pub fn resident_mib() -> Result<f64, Failure> {
    let bytes = ProcessMemory::read().resident_bytes.ok_or("no /proc/self/status here")?;
    Ok(mib(bytes as f64))
}

pub fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

pub fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}
