//! What a check has found, in words.

use core::error::Error;
use core::fmt;

use crate::overstay::Overstays;
use crate::stats::Retired;

/// What was left when the time was up. It prints as a report, also by `Debug`, so that
/// `unwrap` shows it.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Leaks {
    /// Sessions that are in the cache.
    pub linked: u64,
    /// Sessions that have left and are not freed.
    pub retired: Retired,
    /// How many of these a closure of `read`, `update`, `retain` or `for_each` is inside of.
    pub inside_closures: usize,
    /// Whether a listener or a destructor of these runs.
    pub is_handing_over: bool,
    /// Sessions that the application holds, without their ages.
    pub overstays: Overstays,
    /// Whether the cache could tell of these.
    pub(super) tracks_overstays: bool,
}

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not all sessions are freed:")?;
        if self.linked > 0 {
            write!(
                f,
                "\n- {} linked: their time has not come, and nobody has removed them",
                self.linked
            )?;
        }
        self.write_retired(f)?;
        if self.overstays.count > 0 {
            write!(f, "\n- {} held by the application after they left", self.overstays.count)?;
            for holder in &self.overstays.holders {
                write!(f, "\n  {} of their handles: taken at {}", holder.count, holder.site)?;
            }
            if self.overstays.holders.is_empty() {
                write!(f, "\n  by whom is not known: keep sessions as sundown::Tracked")?;
            }
        }
        if !self.tracks_overstays {
            write!(
                f,
                "\n(handles that the application holds are not looked for: track_overstays)"
            )?;
        }
        Ok(())
    }
}

impl Leaks {
    fn write_retired(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.retired.count == 0 {
            return Ok(());
        }
        write!(f, "\n- {} retired: removed, and not freed", self.retired.count)?;
        if self.inside_closures > 0 {
            let inside = self.inside_closures;
            write!(
                f,
                "\n  {inside} of them: a closure of read, update, retain or for_each is inside"
            )?;
        }
        if self.is_handing_over {
            write!(f, "\n  a listener or a destructor has not returned")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Leaks {}
