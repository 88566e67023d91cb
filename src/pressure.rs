//! What an operator is told when a cap is near.

use core::time::Duration;

/// What a callback is told when a cap's load rises to one of its levels, or falls below it again;
/// see [`Builder::on_pressure`](crate::Builder::on_pressure).
///
/// # Examples
///
/// ```
/// use std::sync::mpsc::channel;
/// use sundown::{Cache, Cap, Direction, Pressure};
///
/// let (sender, told) = channel();
/// let cache = Cache::builder()
///     .max_entries(100)
///     .on_pressure(Pressure::LEVELS, move |pressure| sender.send(pressure).unwrap())
///     .build()?;
/// for id in 0..75 {
///     cache.insert(id, "session")?;
/// }
/// let pressure = told.try_recv()?;
/// assert_eq!((pressure.cap, pressure.level), (Cap::Entries, 0.75));
/// assert_eq!((pressure.direction, pressure.entries), (Direction::Rising, 75));
/// assert!(told.try_recv().is_err(), "once");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Pressure {
    /// Which cap it is about.
    pub cap: Cap,
    /// Which of the levels, as it was given: a share of that cap.
    pub level: f64,
    /// Whether the load has reached the level, or has fallen a twentieth below it.
    pub direction: Direction,
    /// Live sessions: at that moment, or, where it is about weight, when it is told.
    pub entries: usize,
    /// Their weight: at that moment, or, where it is about entries, when it is told.
    pub weight: u64,
    /// The cap itself, in sessions or in the weigher's unit.
    pub limit: u64,
    /// What comes in and goes out. `None` if the load came here in no time that can be measured.
    pub flow: Option<Flow>,
    /// How long it takes at this growth until the cap is reached; `None` if it does not grow, or if
    /// the growth is not known.
    pub time_to_full: Option<Duration>,
}

impl Pressure {
    /// Levels that fit most services: time to act at 75 %, an alarm at 90 %.
    pub const LEVELS: [f64; 2] = [0.75, 0.90];
}

/// How a load was moving when it passed a level, in sessions a second or, where it is about weight,
/// in the weigher's unit a second.
///
/// Measured from when the load last was halfway between the points at which the level is reached and
/// left, a fortieth of the level away. Room that passes from a session to the one that replaces it,
/// or for which it is evicted, neither comes in nor goes out.
///
/// # Examples
///
/// ```
/// let alarm = |pressure: sundown::Pressure| {
///     if let Some(flow) = pressure.flow {
///         println!("{:.0} in, {:.0} out, each second", flow.in_per_second, flow.out_per_second);
///     }
/// };
/// let cache = sundown::Cache::<u8, u8>::builder().max_entries(9).on_pressure([0.5], alarm).build()?;
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Flow {
    /// What came in.
    pub in_per_second: f64,
    /// What left.
    pub out_per_second: f64,
    /// Over how long both were measured.
    pub over: Duration,
}

/// A limit that a cache was given.
///
/// # Examples
///
/// ```
/// assert_ne!(sundown::Cap::Entries, sundown::Cap::Weight);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cap {
    /// [`Builder::max_entries`](crate::Builder::max_entries).
    Entries,
    /// [`Builder::max_weight`](crate::Builder::max_weight).
    Weight,
}

/// Which way a load passed a level.
///
/// # Examples
///
/// ```
/// assert_ne!(sundown::Direction::Rising, sundown::Direction::Falling);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Direction {
    /// It has reached the level.
    Rising,
    /// It has left the level behind.
    Falling,
}

/// Who is told.
pub(crate) type OnPressure = dyn Fn(Pressure) + Send + Sync;
