//! Values on the command line, and words for those that are none.

use std::time::Duration;

use bytesize::ByteSize;

/// A time as in `30m`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    check(text, "a time")?;
    humantime::parse_duration(text).map_err(|error| format!("{error}: a time is as in 30m or 8h"))
}

/// A size as in `2KiB`.
pub(crate) fn size(text: &str) -> Result<ByteSize, String> {
    check(text, "a size")?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(size) if size <= MOST_BYTES => Ok(size),
        Err(_) if !is_number => Err("a size is as in 570, 2KiB or 1.5MiB".to_owned()),
        _ => Err(format!("more than {MOST_BYTES}, which no machine has")),
    }
}

/// A share as in `60%`.
pub(crate) fn percent(text: &str) -> Result<u64, String> {
    check(text, "a share")?;
    match text.strip_suffix('%').unwrap_or(text).trim().parse() {
        Ok(percent @ 10..=90) => Ok(percent),
        _ => Err("a whole number of percent from 10 to 90, as in 60%".to_owned()),
    }
}

/// The parsers would say of these what they had expected instead.
fn check(text: &str, what: &str) -> Result<(), String> {
    match text {
        "" => Err(format!("{what} is missing")),
        text if text.starts_with('-') => Err(format!("{what} cannot be negative")),
        text if text.to_lowercase().starts_with("nan") => Err(format!("NaN is not {what}")),
        text if text.to_lowercase().starts_with("inf") => Err(format!("{what} has an end")),
        _ => Ok(()),
    }
}

const MOST_BYTES: ByteSize = ByteSize::pib(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        assert_eq!(time("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(size("570"), Ok(ByteSize(570)));
        assert_eq!(size("1.5KiB"), Ok(ByteSize(1_536)));
        assert_eq!([percent("60%"), percent("60 %"), percent("10")], [Ok(60), Ok(60), Ok(10)]);
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("", "missing"),
            ("-5m", "negative"),
            ("NaN", "NaN"),
            ("inf", "end"),
            ("30", "30m or 8h"),
            ("soon", "30m or 8h"),
            ("99999999999999y", "too large"),
        ] {
            assert!(time(text).unwrap_err().contains(why), "{text}: {:?}", time(text));
        }
        for (text, why) in [
            ("", "missing"),
            ("-1", "negative"),
            ("nan", "NaN"),
            ("infinity", "end"),
            ("many", "2KiB"),
            ("1e30", "2KiB"),
            ("2PiB", "no machine"),
            ("99999999999999999999", "no machine"),
            ("999999999999EiB", "no machine"),
        ] {
            assert!(size(text).unwrap_err().contains(why), "{text}: {:?}", size(text));
        }
        for text in ["0", "9", "91", "100%", "60.5", "%", "-60"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
