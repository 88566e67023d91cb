//! What trace files say: an iterator of events, whatever the format, in constant memory.
//!
//! Times are whole milliseconds, because float seconds move expiries that fall on a boundary.
//! Formats without times get one millisecond an event. Text keys stay bytes: logs hold what clients
//! sent, and two keys that differ in one invalid byte are two clients. A record that does not parse
//! is counted, remembered if it is among the first, and skipped.

use std::ops::Range;
use std::path::PathBuf;
use std::vec;

use clap::ValueEnum;
use serde::Deserialize;

use crate::source::{Piece, Source, TraceError};

/// How many bad records are kept word for word; beyond it they are only counted.
const FLAWS_KEPT: usize = 5;
/// More blocks in one request are noise; disks were smaller when ARC traces were taken.
const MOST_BLOCKS_A_REQUEST: u64 = 1 << 20;

/// The layout of a trace file, and what in it is taken for a session's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Apache's combined log; the key is client address and user agent
    Combined,
    /// Tab-separated log of the NASA servers; the key is the host
    Nasa,
    /// Tab-separated page views of Wikipedia readers; the key is the uuid
    Wikipedia,
    /// Mooncake's requests; the key is the block that begins the conversation, `hash_ids[1]`
    Mooncake,
    /// Mooncake's requests; every block of a request is a key
    MooncakeBlocks,
    /// Big-endian 32-bit keys, without times
    KeysU32,
    /// Big-endian 64-bit keys, without times
    KeysI64,
    /// ARC's `first_block block_count 0 request_number`, without times; every block is a key
    Arc,
}

impl Format {
    /// The unit of the format's timestamps: whole seconds in logs; where there are no times, the
    /// millisecond given to each event.
    pub(crate) fn unit_ms(self) -> u64 {
        match self {
            Self::Combined | Self::Nasa | Self::Wikipedia => 1_000,
            Self::Mooncake | Self::MooncakeBlocks | Self::KeysU32 | Self::KeysI64 | Self::Arc => 1,
        }
    }

    /// Whether several events may carry one timestamp.
    pub(crate) fn has_times(self) -> bool {
        !matches!(self, Self::KeysU32 | Self::KeysI64 | Self::Arc)
    }
}

/// One touch of one session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at_ms: u64,
    pub(crate) key: Key,
}

/// What a session is known by.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Number(u64),
    Text(Box<[u8]>),
}

/// The events of several files, read as one stream.
pub(crate) struct Trace {
    format: Format,
    files: vec::IntoIter<PathBuf>,
    source: Option<Source>,
    record: Record,
    ticks: u64,
    bad: BadRecords,
}

/// What could not be read as an event.
#[derive(Debug, Default)]
pub(crate) struct BadRecords {
    pub(crate) count: u64,
    pub(crate) first: Vec<String>,
}

impl Trace {
    pub(crate) fn new(format: Format, files: Vec<PathBuf>) -> Self {
        Self {
            format,
            files: files.into_iter(),
            source: None,
            record: Record::default(),
            ticks: 0,
            bad: BadRecords::default(),
        }
    }

    pub(crate) fn bad(&self) -> &BadRecords {
        &self.bad
    }

    /// Reads one record into `self.record`, or steps to the next file; `false` after the last.
    fn refill(&mut self) -> Result<bool, TraceError> {
        let Some(source) = &mut self.source else {
            let Some(path) = self.files.next() else { return Ok(false) };
            self.source = Some(Source::open(path)?);
            return Ok(true);
        };
        let piece = match self.format {
            Format::KeysU32 => source.fixed(4)?,
            Format::KeysI64 => source.fixed(8)?,
            _ => source.line()?,
        };
        let parsed = match piece {
            Piece::Record(bytes) => parse(self.format, bytes),
            Piece::Flawed(reason) => Err(reason),
            Piece::End => {
                self.source = None;
                return Ok(true);
            }
        };
        match parsed {
            Ok(record) => self.record = record,
            // Each file of a set may open with the header.
            Err(HEADER) if source.number() == 1 => {}
            Err(reason) => {
                self.bad.count += 1;
                if self.bad.first.len() < FLAWS_KEPT {
                    let path = source.path().display();
                    self.bad.first.push(format!("{path}:{}: {reason}", source.number()));
                }
            }
        }
        Ok(true)
    }
}

impl Iterator for Trace {
    type Item = Result<Event, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.record.keys.next() {
                let at_ms = self.record.at_ms.unwrap_or(self.ticks);
                self.ticks += 1;
                return Some(Ok(Event { at_ms, key }));
            }
            match self.refill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    // An unreadable file ends the stream: a result without it would mislead.
                    self.files = Vec::new().into_iter();
                    self.source = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// One record: its keys are touched at once, in order.
#[derive(Default)]
struct Record {
    at_ms: Option<u64>,
    keys: Keys,
}

/// Keys still to be handed out.
#[derive(Default)]
enum Keys {
    #[default]
    None,
    One(Key),
    Listed(vec::IntoIter<u64>),
    Consecutive(Range<u64>),
}

impl Iterator for Keys {
    type Item = Key;

    fn next(&mut self) -> Option<Key> {
        match self {
            Self::None => None,
            Self::One(_) => match std::mem::take(self) {
                Self::One(key) => Some(key),
                _ => None,
            },
            Self::Listed(ids) => ids.next().map(Key::Number),
            Self::Consecutive(ids) => ids.next().map(Key::Number),
        }
    }
}

/// Why a record is bad.
type Flaw = &'static str;

/// The flaw of a first line that names the columns.
const HEADER: Flaw = "the line names the columns, but is not the first";

fn parse(format: Format, bytes: &[u8]) -> Result<Record, Flaw> {
    match format {
        Format::Combined => parse_combined(bytes),
        Format::Nasa => parse_columns(bytes, 2),
        Format::Wikipedia => parse_columns(bytes, 1),
        Format::Mooncake | Format::MooncakeBlocks => parse_mooncake(format, bytes),
        Format::Arc => parse_arc(bytes),
        Format::KeysU32 | Format::KeysI64 => {
            let number = bytes.iter().fold(0, |high, &low| high << 8 | u64::from(low));
            Ok(Record { at_ms: None, keys: Keys::One(Key::Number(number)) })
        }
    }
}

/// `address ident user [time] "request" status bytes "referer" "agent"`.
///
/// Lenient where a session can still be told: a last field that was cut off counts as it stands.
fn parse_combined(line: &[u8]) -> Result<Record, Flaw> {
    let (address, rest) = split_at(line, b' ').ok_or("no client address")?;
    let (_, rest) = split_at(rest, b'[').ok_or("no time")?;
    let (time, rest) = split_at(rest, b']').ok_or("the time is cut off")?;
    let at_ms = unix_ms(time)?;
    let (_, rest) = quoted(rest).ok_or("no request")?;
    let (_, rest) = quoted(rest.ok_or("the request is cut off")?).ok_or("no referer")?;
    let (agent, _) = quoted(rest.ok_or("the referer is cut off")?).ok_or("no user agent")?;
    // No address holds a space, so two pairs cannot make one key.
    let key = [address, b" ", agent].concat().into_boxed_slice();
    Ok(Record { at_ms: Some(at_ms), keys: Keys::One(Key::Text(key)) })
}

/// The first tab-separated column is the key; the one at `time_column` holds Unix seconds.
fn parse_columns(line: &[u8], time_column: usize) -> Result<Record, Flaw> {
    let mut columns = line.split(|&byte| byte == b'\t');
    let key = columns.next().filter(|key| !key.is_empty()).ok_or("no key")?;
    let time = columns.nth(time_column - 1).ok_or("no time")?;
    if time == b"time" || time == b"timestamp" {
        return Err(HEADER);
    }
    // Without a column behind it, the time may have been cut to fewer digits.
    columns.next().ok_or("the line is cut off")?;
    let at_s = number(time).ok_or("the time is not a whole number of seconds")?;
    let at_ms = at_s.checked_mul(1_000).ok_or("the time is out of range")?;
    Ok(Record { at_ms: Some(at_ms), keys: Keys::One(Key::Text(key.into())) })
}

/// The members of a Mooncake request that matter here.
#[derive(Deserialize)]
struct Request {
    /// Milliseconds from the start.
    timestamp: u64,
    hash_ids: Vec<u64>,
}

fn parse_mooncake(format: Format, line: &[u8]) -> Result<Record, Flaw> {
    let request: Request = serde_json::from_slice(line)
        .map_err(|_| "not a request with whole timestamp and hash_ids in JSON")?;
    let keys = if format == Format::MooncakeBlocks {
        Keys::Listed(request.hash_ids.into_iter())
    } else {
        // Block 0 is the system prompt that all conversations share.
        Keys::One(Key::Number(*request.hash_ids.get(1).ok_or("fewer than two blocks")?))
    };
    Ok(Record { at_ms: Some(request.timestamp), keys })
}

/// `first_block block_count 0 request_number`.
fn parse_arc(line: &[u8]) -> Result<Record, Flaw> {
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let mut next = || words.next().and_then(number).ok_or("not four whole numbers");
    let (first, count, _, _) = (next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err("more than four words");
    }
    if count > MOST_BLOCKS_A_REQUEST {
        return Err("more than 1,048,576 blocks in one request");
    }
    let end = first.checked_add(count).ok_or("the block numbers are out of range")?;
    Ok(Record { at_ms: None, keys: Keys::Consecutive(first..end) })
}

/// What lies before and after the first `mark`.
fn split_at(bytes: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == mark)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// The next quoted field, and what follows its closing quote if there is one.
fn quoted(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (_, field) = split_at(bytes, b'"')?;
    let mut is_escaped = false;
    for (at, &byte) in field.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some((&field[..at], Some(&field[at + 1..]))),
            _ => {}
        }
    }
    Some((field, None))
}

/// The Unix time of `17/May/2015:10:05:03 +0000`.
fn unix_ms(time: &[u8]) -> Result<u64, Flaw> {
    let stamp = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", time)
        .and_then(|broken_down| broken_down.to_timestamp())
        .map_err(|_| "not a time such as 17/May/2015:10:05:03 +0000")?;
    u64::try_from(stamp.as_millisecond()).map_err(|_| "the time is before 1970")
}

/// A whole number in decimal digits.
fn number(digits: &[u8]) -> Option<u64> {
    // A sign would pass u64's own parser.
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
