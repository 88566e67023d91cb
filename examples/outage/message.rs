//! What a store's process tells the one that watches: a line of plain words and numbers each.
//!
//! ```text
//! ready FINGERPRINT          the day is drawn and the store is built
//! go                         the only line the other way: the day begins
//! sample NUMBERS             one point of the curves
//! complaint TEXT             something that the store itself found wrong
//! end NUMBERS                the day is over
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A line from a store's process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Ready { fingerprint: u64 },
    Sample(Sample),
    Complaint(String),
    End(End),
}

/// One point of the curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Since the day began.
    pub(crate) at: Duration,
    /// What the store has requested from the allocator and not given back, sessions included.
    pub(crate) heap_bytes: u64,
    /// Physical memory that the process has taken since before the first session, as the operating
    /// system counts it; the heap again where the platform tells none.
    pub(crate) resident_bytes: u64,
    pub(crate) live: u64,
    /// Past their deadline, and still in memory.
    pub(crate) dead: u64,
    pub(crate) oldest_dead: Duration,
}

/// What was found by the end of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) sessions: u64,
    pub(crate) requests: u64,
    /// The store on its own, before the first session.
    pub(crate) empty_bytes: u64,
    pub(crate) peak_bytes: u64,
    /// After the silence, before anything was called.
    pub(crate) final_bytes: u64,
    /// After the store itself was dropped.
    pub(crate) dropped_bytes: u64,
    pub(crate) worst_lag: Duration,
    /// The store's own figure; zero if it keeps none.
    pub(crate) reported_lag: Duration,
    /// Sessions that were shown at or after their deadline.
    pub(crate) served_late: u64,
    /// Reads that showed the wrong session.
    pub(crate) mixed_up: u64,
    /// The last deadline of any session, since the day began.
    pub(crate) last_deadline: Duration,
    /// How often the store had memory given back to the operating system, how long the last time
    /// took and what it returned; zeros if the store does not do that.
    pub(crate) given_back: u64,
    pub(crate) give_back_took: Duration,
    pub(crate) give_back_bytes: u64,
    /// The longest before its earliest possible deadline that a session was already gone.
    pub(crate) worst_early: Duration,
    /// The longest that a sleeping thread was woken late: what the machine itself adds to a lag.
    pub(crate) worst_oversleep: Duration,
    /// The longest that a request was sent after its time.
    pub(crate) worst_behind: Duration,
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { fingerprint } => write!(out, "ready {fingerprint}"),
            Self::Sample(sample) => write_numbers(out, "sample", &sample.to_numbers()),
            Self::Complaint(text) => write!(out, "complaint {}", text.replace('\n', " ")),
            Self::End(end) => write_numbers(out, "end", &end.to_numbers()),
        }
    }
}

impl FromStr for Message {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let message = match kind {
            "ready" => numbers(rest).map(|[fingerprint]: [u64; 1]| Self::Ready { fingerprint }),
            "sample" => numbers(rest).map(|numbers| Self::Sample(Sample::from_numbers(numbers))),
            "complaint" => Some(Self::Complaint(rest.to_owned())),
            "end" => numbers(rest).map(|numbers| Self::End(End::from_numbers(numbers))),
            _ => None,
        };
        message.ok_or_else(|| format!("a line that makes no sense: {line:?}"))
    }
}

impl Sample {
    fn to_numbers(self) -> [u64; 6] {
        let Self { at, heap_bytes, resident_bytes, live, dead, oldest_dead } = self;
        [nanos(at), heap_bytes, resident_bytes, live, dead, nanos(oldest_dead)]
    }

    fn from_numbers(numbers: [u64; 6]) -> Self {
        let [at, heap_bytes, resident_bytes, live, dead, oldest_dead] = numbers;
        let (at, oldest_dead) = (Duration::from_nanos(at), Duration::from_nanos(oldest_dead));
        Self { at, heap_bytes, resident_bytes, live, dead, oldest_dead }
    }
}

impl End {
    fn to_numbers(self) -> [u64; 17] {
        [
            self.sessions,
            self.requests,
            self.empty_bytes,
            self.peak_bytes,
            self.final_bytes,
            self.dropped_bytes,
            nanos(self.worst_lag),
            nanos(self.reported_lag),
            self.served_late,
            self.mixed_up,
            nanos(self.worst_early),
            nanos(self.worst_oversleep),
            nanos(self.worst_behind),
            nanos(self.last_deadline),
            self.given_back,
            nanos(self.give_back_took),
            self.give_back_bytes,
        ]
    }

    fn from_numbers(numbers: [u64; 17]) -> Self {
        Self {
            sessions: numbers[0],
            requests: numbers[1],
            empty_bytes: numbers[2],
            peak_bytes: numbers[3],
            final_bytes: numbers[4],
            dropped_bytes: numbers[5],
            worst_lag: Duration::from_nanos(numbers[6]),
            reported_lag: Duration::from_nanos(numbers[7]),
            served_late: numbers[8],
            mixed_up: numbers[9],
            worst_early: Duration::from_nanos(numbers[10]),
            worst_oversleep: Duration::from_nanos(numbers[11]),
            worst_behind: Duration::from_nanos(numbers[12]),
            last_deadline: Duration::from_nanos(numbers[13]),
            given_back: numbers[14],
            give_back_took: Duration::from_nanos(numbers[15]),
            give_back_bytes: numbers[16],
        }
    }
}

/// A duration on the wire. 2^64 ns are 584 years.
fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

fn write_numbers(out: &mut fmt::Formatter<'_>, kind: &str, numbers: &[u64]) -> fmt::Result {
    out.write_str(kind)?;
    numbers.iter().try_for_each(|number| write!(out, " {number}"))
}

fn numbers<const COUNT: usize>(text: &str) -> Option<[u64; COUNT]> {
    let numbers: Vec<u64> = text.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_the_wire() {
        let end = End::from_numbers(std::array::from_fn(|place| place as u64 + 1));
        let sample = Sample::from_numbers([1, 2, 3, 4, 5, 6]);
        for message in [
            Message::Ready { fingerprint: u64::MAX },
            Message::Sample(sample),
            Message::Complaint("overdue is 1, not 0".to_owned()),
            Message::End(end),
        ] {
            assert_eq!(message.to_string().parse(), Ok(message));
        }
        assert!("end 1 2".parse::<Message>().is_err());
    }
}
