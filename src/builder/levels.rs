//! The levels of pressure that the user asks for.

use crate::error::{BuildError, MOST_PRESSURE_LEVELS};

pub(super) fn check_levels(levels: &[f64]) -> Result<(), BuildError> {
    if !(1..=MOST_PRESSURE_LEVELS).contains(&levels.len()) {
        return Err(BuildError::PressureLevelCount(levels.len()));
    }
    // What is not a number is not inside either.
    let is_inside = |level: f64| level > 0.0 && level < 1.0;
    if let Some(&level) = levels.iter().find(|&&level| !is_inside(level)) {
        return Err(BuildError::PressureLevel(level));
    }
    if !levels.is_sorted_by(|lower, higher| lower < higher) {
        return Err(BuildError::PressureLevelOrder);
    }
    Ok(())
}
