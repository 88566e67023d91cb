//! Percentiles of the Poisson distribution: how many sessions live at once when they arrive
//! independently of each other (the number in an M/G/∞ system, whatever their lifetimes' distribution).

/// The smallest count that a Poisson variable of this mean stays at or below with `probability`.
///
/// Exact but for rounding: the terms are summed relative to the mode's, so none over- or underflows.
///
/// **Complexity:** the square root of `mean`; 0.1 s for a billion.
pub(crate) fn percentile(mean: f64, probability: f64) -> u64 {
    let mode = mean.floor();
    let (mut below, mut term, mut count) = (0.0, 1.0, mode);
    while count > 0.0 && term > NEGLIGIBLE {
        term *= count / mean;
        below += term;
        count -= 1.0;
    }
    let (mut total, mut term, mut count) = (below + 1.0, 1.0, mode);
    while term > NEGLIGIBLE {
        count += 1.0;
        term *= mean / count;
        total += term;
    }
    let (mut so_far, mut term, mut count) = (below + 1.0, 1.0, mode);
    // Down from the mode where more than `probability` lies below it, else up.
    while so_far - term >= probability * total && count > 0.0 {
        so_far -= term;
        term *= count / mean;
        count -= 1.0;
    }
    while so_far < probability * total && term > NEGLIGIBLE {
        count += 1.0;
        term *= mean / count;
        so_far += term;
    }
    count as u64
}

/// Beside the mode's term: together such terms are far below what a percentile could turn on.
const NEGLIGIBLE: f64 = 1e-18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact() {
        // Summed in decimals of 60 digits.
        for (mean, expected) in [
            (0.001, 0),
            (0.5, 4),
            (1.0, 5),
            (10.0, 21),
            (100.0, 132),
            (273.0, 325),
            (1_000.0, 1_099),
            (1_999.0, 2_139),
            (80_000.0, 80_875),
            (280_000.0, 281_637),
            (1e6, 1_003_092),
        ] {
            assert_eq!(percentile(mean, 0.999), expected, "mean {mean}");
        }
    }

    #[test]
    fn low_and_median_percentiles_are_found_below_the_mode() {
        // P(X = 0) is 0.0498, P(X <= 1) 0.199, P(X <= 2) 0.423 and P(X <= 3) 0.647 at mean 3.
        for (probability, expected) in [(0.01, 0), (0.1, 1), (0.2, 2), (0.5, 3), (0.64, 3)] {
            assert_eq!(percentile(3.0, probability), expected, "{probability}");
        }
    }

    #[test]
    fn a_billion_is_near_its_normal_approximation() {
        let normal = 1e9 + 3.090_232 * 1e9_f64.sqrt();
        assert!((percentile(1e9, 0.999) as f64 - normal).abs() < 5.0);
    }
}
