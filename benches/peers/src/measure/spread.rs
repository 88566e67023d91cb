//! Several measurements of one thing.

use serde::{Deserialize, Serialize};

/// The median of some measurements, and how far they lie apart.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The one in the middle; of an even number the upper of the two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of measurements in any order; `None` if there are none.
    pub fn of(measurements: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = measurements.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: *sorted.get(sorted.len() / 2)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }

    /// Of `ours` by `theirs`, round by round: each ratio compares two neighbours in time.
    pub fn of_ratios(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        Self::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
    }
}

impl From<f64> for Spread {
    fn from(only: f64) -> Self {
        Self { median: only, min: only, max: only }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle_of_any_order() {
        let spread = Spread::of([5.0, 1.0, 3.0]);
        assert_eq!(spread, Some(Spread { median: 3.0, min: 1.0, max: 5.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine slowed down in the second round: the ratio did not change.
        let ratio = Spread::of_ratios(&[10.0, 2.0], &[5.0, 1.0]);
        assert_eq!(ratio, Some(Spread::from(2.0)));
    }
}
