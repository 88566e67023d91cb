//! Rates as people write them: `2000/min`.

use std::fmt;
use std::str::FromStr;

use crate::figures::count;

/// How many sessions begin in a time, with the unit in which it was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    per_unit: f64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Unit {
    name: &'static str,
    seconds: f64,
}

impl Rate {
    pub(crate) fn per_second(self) -> f64 {
        self.per_unit / self.unit.seconds
    }

    /// So many a second, in minutes: the unit of the report.
    pub(crate) fn of_seconds(per_second: f64) -> Self {
        let [_, minute, ..] = UNITS;
        Self { per_unit: per_second * minute.seconds, unit: minute }
    }

    /// The same in the unit of `other`.
    pub(crate) fn in_unit_of(self, other: Self) -> Self {
        Self { per_unit: self.per_second() * other.unit.seconds, unit: other.unit }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, name) = text
            .split_once('/')
            .ok_or("a rate has a unit, as in 2000/min, 30/s, 100/h or 5/day")?;
        let unit = UNITS
            .into_iter()
            .find(|unit| unit.name == name.trim())
            .ok_or_else(|| format!("no unit is called {:?}: s, min, h or day", name.trim()))?;
        let number = number.trim();
        let per_unit: f64 = number.parse().map_err(|_| format!("{number:?} is not a number"))?;
        let flaw = match per_unit {
            number if number.is_nan() => "NaN is not a rate",
            number if number < 0.0 => "a rate cannot be negative",
            0.0 => "at a rate of zero no session ever begins",
            number if number.is_infinite() => "the rate is too large",
            _ => return Ok(Self { per_unit, unit }),
        };
        Err(flaw.to_owned())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_unit, unit } = *self;
        if per_unit >= 100.0 || per_unit.fract() == 0.0 {
            write!(f, "{}/{}", count(per_unit.round() as u64), unit.name)
        } else if per_unit >= 0.1 {
            write!(f, "{per_unit:.1}/{}", unit.name)
        } else {
            write!(f, "{per_unit:.1e}/{}", unit.name)
        }
    }
}

const UNITS: [Unit; 4] = [
    Unit { name: "s", seconds: 1.0 },
    Unit { name: "min", seconds: 60.0 },
    Unit { name: "h", seconds: 3_600.0 },
    Unit { name: "day", seconds: 86_400.0 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, per_second, written) in [
            ("30/s", 30.0, "30/s"),
            ("2000/min", 2_000.0 / 60.0, "2,000/min"),
            ("90/h", 0.025, "90/h"),
            ("5/day", 5.0 / 86_400.0, "5/day"),
            ("0.5/s", 0.5, "0.5/s"),
            ("1e-3/s", 0.001, "1.0e-3/s"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.per_second(), rate.to_string()), (per_second, written.to_owned()));
        }
    }

    #[test]
    fn what_is_no_rate_says_why() {
        for (text, why) in [
            ("2000", "has a unit"),
            ("2000/week", "no unit"),
            ("many/s", "not a number"),
            ("/s", "not a number"),
            ("NaN/s", "NaN"),
            ("-1/s", "negative"),
            ("-inf/s", "negative"),
            ("0/s", "zero"),
            ("-0/s", "zero"),
            ("1e-999/s", "zero"),
            ("1e999/s", "too large"),
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
