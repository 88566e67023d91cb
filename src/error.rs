//! What can be refused, and why.

use core::fmt;
use core::time::Duration;

/// A session that the cache did not take, handed back with the reason.
///
/// Neither `Debug` nor `Display` prints the key or the value.
///
/// # Examples
///
/// ```
/// use sundown::{Cache, OnFull, Reason};
/// let cache = Cache::builder().max_entries(1).on_full(OnFull::Reject).build()?;
/// cache.insert("one", 1)?;
/// let refused = cache.insert("two", 2).unwrap_err();
/// assert_eq!(refused.reason, Reason::Full);
/// assert_eq!(refused.into_parts(), ("two", 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
pub struct Rejected<K, V> {
    /// The key as it was given.
    pub key: K,
    /// The value as it was given.
    pub value: V,
    /// Why the cache did not take them.
    pub reason: Reason,
}

impl<K, V> Rejected<K, V> {
    pub(crate) fn new(key: K, value: V, reason: Reason) -> Self {
        Self { key, value, reason }
    }

    /// Gives key and value back.
    #[must_use]
    pub fn into_parts(self) -> (K, V) {
        (self.key, self.value)
    }
}

impl<K, V> fmt::Debug for Rejected<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<K, V> fmt::Display for Rejected<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session not taken: {}", self.reason)
    }
}

impl<K, V> core::error::Error for Rejected<K, V> {}

/// Why a session was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// There is no room, and the cache rejects rather than evicts; or, where it evicts, all room
    /// was held by other insertions under way.
    Full,
    /// It weighs more than the whole cache may.
    TooHeavy,
    /// The key has a live session already.
    Occupied,
    /// The key has no live session to replace.
    Absent,
    /// The cache is closed.
    Closed,
}

impl Reason {
    /// How many reasons there are.
    pub(crate) const COUNT: usize = 5;

    /// The reason's place in an array that has one for each.
    pub(crate) fn code(self) -> usize {
        match self {
            Self::Full => 0,
            Self::TooHeavy => 1,
            Self::Occupied => 2,
            Self::Absent => 3,
            Self::Closed => 4,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the cache is full",
            Self::TooHeavy => "it weighs more than the whole cache may",
            Self::Occupied => "the key has a live session",
            Self::Absent => "the key has no live session",
            Self::Closed => "the cache is closed",
        })
    }
}

/// A value that a [`Fill`](crate::Fill) has not put in, handed back.
///
/// `Debug` and `Display` do not print the value.
///
/// # Examples
///
/// ```
/// use sundown::{Cache, Lifetime};
/// let cache = Cache::builder().max_entries(10).build()?;
/// let fill = cache.begin_fill("id");
/// cache.discard("id"); // a log-out, while the database is asked
/// let superseded = fill.complete("stale", Lifetime::default()).unwrap_err();
/// assert_eq!((superseded.reason(), superseded.into_inner()), (None, "stale"));
/// assert!(cache.get("id").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Superseded<V> {
    value: V,
    reason: Option<Reason>,
}

impl<V> Superseded<V> {
    pub(crate) fn new(value: V, reason: Option<Reason>) -> Self {
        Self { value, reason }
    }

    /// Why the cache refused it; `None` if its key was changed after the fill had begun.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Gives the value back.
    #[must_use]
    pub fn into_inner(self) -> V {
        self.value
    }
}

impl<V> fmt::Debug for Superseded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Superseded").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<V> fmt::Display for Superseded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Some(reason) => write!(f, "filled value not taken: {reason}"),
            None => f.write_str("filled value not taken: the key was changed meanwhile"),
        }
    }
}

impl<V> core::error::Error for Superseded<V> {}

/// Which setting of a [`Builder`](crate::Builder) is wrong, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Neither `max_entries` nor `max_weight` is set.
    Unbounded,
    /// A cap is zero.
    ZeroCapacity,
    /// A time to live or to idle is zero.
    ZeroLifetime,
    /// A time to live or to idle is over ten years.
    OverlongLifetime,
    /// The resolution is under 1 ms or over 1 h.
    Resolution(Duration),
    /// `max_weight` is set, but no weigher says what a session weighs.
    NoWeigher,
    /// The number of shards is zero or over the limit.
    Shards(usize),
    /// `on_pressure` was given no level, or more than it takes.
    PressureLevelCount(usize),
    /// A level of `on_pressure` is not between 0 and 1.
    PressureLevel(f64),
    /// The levels of `on_pressure` do not ascend.
    PressureLevelOrder,
    /// The target has no clock of its own, as `wasm32-unknown-unknown`, and none was given.
    NoClock,
    /// The target has no source of randomness, as `wasm32-unknown-unknown`, and no hasher was given.
    NoRandomness,
    /// The stack for the reaper's thread is under 64 KiB or over 1 GiB.
    ReaperStack(usize),
    /// `max_per_principal` of sessions is zero.
    ZeroPrincipalLimit,
    /// A store has a `max_per_principal` and no `principal`.
    NoPrincipal,
    /// `rotation_grace` of sessions is as long as a lifetime, or longer.
    OverlongGrace(Duration),
    /// The reaper's thread could not be started.
    Thread(std::io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbounded => f.write_str(
                "the cache has no cap: set max_entries, or max_weight with a weigher, so that no \
                 storm of logins can fill the memory",
            ),
            Self::ZeroCapacity => f.write_str(
                "a cap of zero holds no session: set max_entries and max_weight to at least 1, or \
                 leave the one that you do not need unset",
            ),
            Self::ZeroLifetime => f.write_str(
                "a lifetime of zero serves no session: set time_to_live and time_to_idle to more \
                 than zero, or leave the one that you do not need unset",
            ),
            Self::OverlongLifetime => f.write_str(
                "a lifetime is over ten years: set a shorter time_to_live or time_to_idle, or \
                 leave it unset for sessions that do not end by time",
            ),
            Self::Resolution(given) => {
                write!(f, "a resolution of {given:?} is out of range: set one from 1 ms to 1 h")
            }
            Self::NoWeigher => f.write_str(
                "max_weight is set but nothing weighs the sessions: set a weigher, or use \
                 max_entries alone",
            ),
            Self::Shards(given) => write!(
                f,
                "{given} shards are out of range: set 1 to {}, or leave it to the default",
                crate::error::MOST_SHARDS
            ),
            Self::PressureLevelCount(_) | Self::PressureLevel(_) | Self::PressureLevelOrder => {
                self.fmt_level(f)
            }
            Self::NoClock => f.write_str(
                "this target has no clock: set clock to a ManualClock and move it on by the host's",
            ),
            Self::NoRandomness => f.write_str(
                "this target has no randomness to keep others from choosing keys that collide: set \
                 hasher to RandomState::with_keys, with keys from the host",
            ),
            Self::ReaperStack(given) => write!(
                f,
                "a stack of {given} bytes for the reaper is out of range: set reaper_stack_bytes \
                 to 64 KiB up to 1 GiB, or leave it unset"
            ),
            Self::ZeroPrincipalLimit => f.write_str(
                "a limit of zero lets nobody log in: set max_per_principal to at least 1, or unset it",
            ),
            Self::NoPrincipal => f.write_str("max_per_principal needs a principal: set that, too"),
            Self::OverlongGrace(given) => write!(
                f,
                "a grace of {given:?} outlives the sessions: set rotation_grace to less than \
                 time_to_live and time_to_idle"
            ),
            Self::Thread(_) => f.write_str(
                "the reaper's thread could not be started: raise the limit on threads, or use \
                 Reaper::Manual and call reap yourself",
            ),
        }
    }
}

impl BuildError {
    /// What is wrong with the levels of `on_pressure`.
    fn fmt_level(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PressureLevelCount(given) => write!(
                f,
                "{given} levels for on_pressure are out of range: give 1 to {}, or \
                 Pressure::LEVELS",
                crate::error::MOST_PRESSURE_LEVELS
            ),
            Self::PressureLevel(given) => write!(
                f,
                "a level of {given} for on_pressure is no share of a cap: give levels above 0 and \
                 below 1, as 0.75 for three quarters"
            ),
            _ => f.write_str(
                "the levels for on_pressure do not ascend: give each once, the lowest first",
            ),
        }
    }
}

impl core::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Thread(source) => Some(source),
            _ => None,
        }
    }
}

/// More shards than this cost more in walking over them than they save in contention.
pub(crate) const MOST_SHARDS: usize = 16_384;

/// Each level costs every insertion a few comparisons; nobody acts on more.
pub(crate) const MOST_PRESSURE_LEVELS: usize = 8;

/// An invariant that [`Cache::audit`](crate::Cache::audit) found broken: a fault of this crate.
///
/// # Examples
///
/// ```
/// let cache = sundown::Cache::<u8, u8>::builder().max_entries(1).build()?;
/// if let Err(broken) = cache.audit() {
///     panic!("please report this: {broken}");
/// }
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditError {
    /// The shard in which it was found, where it belongs to one.
    pub shard: Option<usize>,
    /// The invariant's number in the source, and what was found.
    pub broken: String,
}

impl fmt::Debug for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shard {
            Some(shard) => write!(f, "broken invariant in shard {shard}: {}", self.broken),
            None => write!(f, "broken invariant: {}", self.broken),
        }
    }
}

impl core::error::Error for AuditError {}

/// What a check found broken; its face to users is [`AuditError`].
pub(crate) type Broken = String;

/// Returns the broken invariant, with its number, unless the condition holds.
macro_rules! ensure {
    ($number:literal, $condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!(concat!($number, ": {}"), format_args!($($what)+)));
        }
    };
}
pub(crate) use ensure;
