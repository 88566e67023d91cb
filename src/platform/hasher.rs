//! The default hasher, and the split of a hash into the parts that the engine needs.

use core::hash::{BuildHasher, Hash, Hasher};

/// The default hasher of [`Cache`](crate::Cache): ahash, keyed at random.
///
/// Every value of this type carries its own random keys, so that nobody outside the process can
/// choose session ids that collide. It wraps ahash so that a new version of that crate is not a new
/// version of this one.
///
/// `wasm32-unknown-unknown` has no source of randomness, and so neither `new` nor `Default`: there the
/// keys come from the host, by [`with_keys`](Self::with_keys).
///
/// # Examples
///
/// ```
/// use std::hash::BuildHasher;
/// let (one, other) = (sundown::RandomState::new(), sundown::RandomState::new());
/// assert_eq!(one.hash_one("id"), one.hash_one("id"));
/// assert_ne!(one.hash_one("id"), other.hash_one("id"));
/// ```
#[derive(Clone)]
pub struct RandomState(ahash::RandomState);

impl RandomState {
    /// Makes a hasher with fresh random keys.
    #[must_use]
    #[cfg(not(any(sundown_bare, all(target_family = "wasm", target_os = "unknown"))))]
    pub fn new() -> Self {
        Self(ahash::RandomState::new())
    }

    /// Makes a hasher with these keys, which must be random and secret: whoever knows them can choose
    /// session ids that all collide.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, RandomState};
    /// # fn host_randomness() -> [u64; 4] { [1, 2, 3, 4] }
    /// let hasher = RandomState::with_keys(host_randomness());
    /// let cache: Cache<u64, u64> = Cache::builder().max_entries(10).hasher(hasher).build()?;
    /// # Ok::<(), sundown::BuildError>(())
    /// ```
    #[must_use]
    pub fn with_keys(keys: [u64; 4]) -> Self {
        let [first, second, third, fourth] = keys;
        Self(ahash::RandomState::with_seeds(first, second, third, fourth))
    }

    /// A builder's, until the user gives another. Without randomness it must be another.
    pub(crate) fn preset() -> Self {
        #[cfg(not(any(sundown_bare, all(target_family = "wasm", target_os = "unknown"))))]
        return Self::new();
        #[cfg(any(sundown_bare, all(target_family = "wasm", target_os = "unknown")))]
        return Self::with_keys([0; 4]);
    }
}

#[cfg(not(any(sundown_bare, all(target_family = "wasm", target_os = "unknown"))))]
impl Default for RandomState {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for RandomState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The keys are what keeps an attacker from choosing collisions.
        f.write_str("RandomState { .. }")
    }
}

impl BuildHasher for RandomState {
    type Hasher = RandomHasher;

    #[inline]
    fn build_hasher(&self) -> RandomHasher {
        RandomHasher(self.0.build_hasher())
    }

    #[inline]
    fn hash_one<T: Hash>(&self, value: T) -> u64 {
        self.0.hash_one(value)
    }
}

/// The state of one hash under way; what [`RandomState`] builds.
#[derive(Clone)]
pub struct RandomHasher(ahash::AHasher);

impl core::fmt::Debug for RandomHasher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RandomHasher { .. }")
    }
}

macro_rules! forward {
    ($($name:ident: $type:ty),*) => {
        $(#[inline]
        fn $name(&mut self, value: $type) {
            self.0.$name(value);
        })*
    };
}

impl Hasher for RandomHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }

    forward!(write: &[u8], write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64,
        write_u128: u128, write_usize: usize, write_i8: i8, write_i16: i16, write_i32: i32,
        write_i64: i64, write_i128: i128, write_isize: isize);
}

/// A key's hash, cut into what picks the shard and what finds the entry within it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeyHash {
    /// Picks the shard.
    pub(crate) shard: u32,
    /// Picks chunk and tag inside the shard; an entry keeps it, so that nobody hashes twice.
    pub(crate) index: u32,
}

impl KeyHash {
    /// Spreads `hash` so that a weak user hasher (identity, FNV over small integers) still fills
    /// all shards and chunks.
    #[inline]
    pub(crate) fn of(hash: u64) -> Self {
        let wide = u128::from(hash ^ SPREAD_SEED) * u128::from(SPREAD_FACTOR);
        let folded = (wide as u64) ^ ((wide >> 64) as u64);
        Self { shard: (folded >> 32) as u32, index: folded as u32 }
    }

    /// All of it.
    pub(crate) fn whole(self) -> u64 {
        u64::from(self.shard) << 32 | u64::from(self.index)
    }
}

/// An odd constant without structure (the golden ratio), as in Knuth's multiplicative hashing.
const SPREAD_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// Keeps a hash of zero from folding to zero.
const SPREAD_SEED: u64 = 0xa076_1d64_78bd_642f;
