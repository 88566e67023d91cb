//! What is told of overstays.

use core::fmt;
use core::panic::Location;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::stats::Overstayed;

/// Sessions that left the cache a while ago and are still held by the application; see
/// [`Cache::overstays`](crate::Cache::overstays).
///
/// It prints as what an operator wants to read: figures, then the places, one a line.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::{Cache, Reaper, Tracked};
///
/// let cache = Cache::builder()
///     .max_entries(10)
///     .reaper(Reaper::Manual)
///     .track_overstays(Duration::ZERO)
///     .build()?;
/// cache.insert("id", Tracked::new("ada"))?;
/// let forgotten = cache.get("id");
/// cache.discard("id");
/// cache.reap();
/// let overstays = cache.overstays();
/// assert_eq!((overstays.count, overstays.holders[0].count), (1, 1));
/// drop(forgotten);
/// assert_eq!(cache.overstays().count, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Overstays {
    /// How many sessions there are.
    pub count: u64,
    /// Their weight when they left.
    pub weight: u64,
    /// How long ago the first of them left.
    pub oldest: Duration,
    /// Where the handles were taken, those with the most handles first. Known only of sessions that
    /// are kept as [`Tracked`](crate::Tracked).
    pub holders: Vec<Holder>,
}

/// A place in the source at which handles of overstays were taken; part of [`Overstays`].
///
/// The handles may have moved on since, into a map or a task: the place is where they were cloned, by
/// [`get`](crate::Cache::get) or by `clone`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Holder {
    /// File, line and column.
    pub site: &'static Location<'static>,
    /// How many handles that were taken there are left. A session may have several.
    pub count: u64,
    /// How long ago the first of their sessions left.
    pub oldest: Duration,
}

impl fmt::Display for Overstays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sessions, oldest) = (plural(self.count, "session"), in_millis(self.oldest));
        write!(f, "{sessions} held on, of which the first left {oldest:?} ago")?;
        self.holders.iter().try_for_each(|holder| write!(f, "\n  {holder}"))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (handles, oldest) = (plural(self.count, "handle"), in_millis(self.oldest));
        write!(
            f,
            "{handles} taken at {}, the first of a session that left {oldest:?} ago",
            self.site
        )
    }
}

fn in_millis(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs()) + Duration::from_millis(span.subsec_millis().into())
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Adds overstays up, one by one.
#[derive(Debug, Default)]
pub struct Tally {
    figures: Overstayed,
    /// By file, line and column: the compiler may have several copies of a place.
    places: BTreeMap<(&'static str, u32, u32), Holder>,
}

impl Tally {
    pub(super) fn add(&mut self, weight: u64, stay_ns: u64) {
        let figures = &mut self.figures;
        figures.count += 1;
        figures.weight = figures.weight.saturating_add(weight);
        figures.oldest = figures.oldest.max(Duration::from_nanos(stay_ns));
    }

    /// Adds handles of the session that was added last.
    pub(super) fn add_handles(
        &mut self,
        site: &'static Location<'static>,
        count: u64,
        stay_ns: u64,
    ) {
        let place = (site.file(), site.line(), site.column());
        let none = Holder { site, count: 0, oldest: Duration::ZERO };
        let holder = self.places.entry(place).or_insert(none);
        holder.count += count;
        holder.oldest = holder.oldest.max(Duration::from_nanos(stay_ns));
    }

    pub(super) fn figures(&self) -> Overstayed {
        self.figures
    }

    pub(super) fn into_report(self) -> Overstays {
        let Overstayed { count, weight, oldest } = self.figures;
        let mut holders: Vec<Holder> = self.places.into_values().collect();
        holders.sort_by_key(|holder| core::cmp::Reverse((holder.count, holder.oldest)));
        Overstays { count, weight, oldest, holders }
    }
}
