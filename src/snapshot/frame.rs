//! The bytes of a snapshot: pure, and the same on every machine.
//!
//! ```text
//!   header  │ magic 8 │ version 4 │ kind 4 │ flags 4 │ nonce 20 │
//!   record  │ length 4 │ checksum 4 │ last use 8 │ absolute deadline 8 │ time to idle 8 │ payload │   many
//!   footer  │ mark 4 │ records 8 │ bytes 8 │ wall clock 8 │ checksum 4 │
//! ```
//!
//! All numbers are little-endian. Times are nanoseconds since 1970 on the wall clock.
//!
//! V1. The footer's checksum covers everything before it, and its counts say how much that is. So what was cut
//!     off, or changed anywhere, is no snapshot at all.
//! V2. A record has a checksum of its own: two different ones have to fail before a changed record is believed.

use crc32fast::Hasher;

use super::axis::{Instants, NEVER};
use super::report::CleanStart;

/// What a snapshot is of. One kind is never read as another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind(u32);

impl Kind {
    /// Keys and values of a [`Cache`](crate::Cache).
    pub(crate) const ENTRIES: Self = Self(1);
    /// [`Sessions`](crate::sessions::Sessions).
    pub(crate) const SESSIONS: Self = Self(2);
    /// Records of a store for tower-sessions.
    #[allow(dead_code, reason = "for the adapters of some features")]
    pub(crate) const TOWER_SESSIONS: Self = Self(3);
}

/// What comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) is_sealed: bool,
    /// Of the seal; zero without one.
    pub(super) nonce: [u8; NONCE_BYTES],
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.kind.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&u32::from(self.is_sealed).to_le_bytes());
        bytes[20..].copy_from_slice(&self.nonce);
        bytes
    }

    /// Takes the header off; the rest is the body.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), CleanStart> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(CleanStart::NotASnapshot);
        }
        let (head, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(CleanStart::Damaged)?;
        let version = u32_at(head, 8);
        if version != VERSION {
            return Err(CleanStart::Version(version));
        }
        let is_sealed = match u32_at(head, 16) {
            0 => false,
            1 => true,
            _ => return Err(CleanStart::Damaged),
        };
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&head[20..]);
        Ok((Self { kind: Kind(u32_at(head, 12)), is_sealed, nonce }, body))
    }
}

/// Appends a record; false, and nothing is appended, if its payload is too large.
pub(super) fn push_record(to: &mut Vec<u8>, instants: Instants, payload: &[u8]) -> bool {
    let Some(length) = u32::try_from(payload.len()).ok().filter(|&length| length < FOOTER_MARK)
    else {
        return false;
    };
    let [used, absolute] = [instants.used, instants.absolute].map(i64::to_le_bytes);
    let idle = instants.idle.to_le_bytes();
    let checksum = checksum_of(&[&used, &absolute, &idle, payload]);
    for part in
        [&length.to_le_bytes()[..], &checksum.to_le_bytes(), &used, &absolute, &idle, payload]
    {
        to.extend_from_slice(part);
    }
    true
}

/// What comes last, but for the checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Footer {
    pub(super) records: u64,
    /// Of all records.
    pub(super) bytes: u64,
    /// When the last record had been written.
    pub(super) wall_ns: i64,
}

impl Footer {
    /// All of it, by the `checksum` of what comes before.
    pub(super) fn encode(self, mut checksum: Hasher) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..4].copy_from_slice(&FOOTER_MARK.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.records.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.wall_ns.to_le_bytes());
        checksum.update(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.finalize().to_le_bytes());
        bytes
    }
}

/// A record's last use, and where it begins in the body.
pub(super) type Place = (i64, usize);

/// Checks all of a body that is not sealed any more (V1, V2): gives its footer and its records, in order.
pub(super) fn check(header: Header, body: &[u8]) -> Result<(Footer, Vec<Place>), CleanStart> {
    let (records, foot) = body.split_last_chunk::<FOOTER_BYTES>().ok_or(CleanStart::Damaged)?;
    let whole = checksum_of(&[&header.encode(), records, &foot[..28]]);
    let footer =
        Footer { records: u64_at(foot, 4), bytes: u64_at(foot, 12), wall_ns: i64_at(foot, 20) };
    let is_whole = u32_at(foot, 0) == FOOTER_MARK
        && u32_at(foot, 28) == whole
        && footer.bytes == records.len() as u64;
    if !is_whole {
        return Err(CleanStart::Damaged);
    }
    let mut places = Vec::new();
    let mut at = 0;
    while at < records.len() {
        let (instants, payload) = record_at(records, at).ok_or(CleanStart::Damaged)?;
        places.push((instants.used, at));
        at += RECORD_BYTES + payload.len();
    }
    let is_counted = places.len() as u64 == footer.records;
    is_counted.then_some((footer, places)).ok_or(CleanStart::Damaged)
}

/// The record that begins there; none if there is none, or another one than was written.
pub(super) fn record_at(body: &[u8], at: usize) -> Option<(Instants, &[u8])> {
    let (head, rest) = body.get(at..)?.split_first_chunk::<RECORD_BYTES>()?;
    let length = u32_at(head, 0);
    let payload = rest.get(..usize::try_from(length).ok()?).filter(|_| length < FOOTER_MARK)?;
    let is_right = checksum_of(&[&head[8..], payload]) == u32_at(head, 4);
    let instants =
        Instants { used: i64_at(head, 8), absolute: i64_at(head, 16), idle: u64_at(head, 24) };
    is_right.then_some((instants, payload))
}

/// Takes the first bytes off; none if there are fewer.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn checksum_of(parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    u64_at(bytes, at) as i64
}

/// Makes all checksums and counts right, so that what lies behind them is tried as well.
#[cfg(any(test, fuzzing))]
pub(super) fn refit(bytes: &mut [u8]) {
    let whole = bytes.len();
    if whole < HEADER_BYTES + FOOTER_BYTES {
        return;
    }
    bytes[..12].copy_from_slice(&[&MAGIC[..], &VERSION.to_le_bytes()].concat());
    bytes[16..20].fill(0);
    let (mut at, end, mut records) = (HEADER_BYTES, whole - FOOTER_BYTES, 0_u64);
    while at + RECORD_BYTES <= end {
        let most = end - at - RECORD_BYTES;
        let length = (u32_at(bytes, at) as usize).min(most);
        // Too little room for another one is this one's.
        let length = if most - length < RECORD_BYTES { most } else { length };
        bytes[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
        let checksum = checksum_of(&[&bytes[at + 8..at + RECORD_BYTES + length]]);
        bytes[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        (at, records) = (at + RECORD_BYTES + length, records + 1);
    }
    let footer =
        Footer { records, bytes: (end - HEADER_BYTES) as u64, wall_ns: i64_at(bytes, end + 20) };
    let mut checksum = Hasher::new();
    checksum.update(&bytes[..end]);
    bytes[end..].copy_from_slice(&footer.encode(checksum));
}

const _: () = assert!(NEVER == i64::MAX, "files say so");

const MAGIC: [u8; 8] = *b"sundown\n";
/// Of this layout, and of what the payloads of sessions look like.
const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 40;
pub(super) const NONCE_BYTES: usize = 20;
pub(super) const RECORD_BYTES: usize = 32;
pub(super) const FOOTER_BYTES: usize = 32;
/// No record is as long.
const FOOTER_MARK: u32 = u32::MAX;
