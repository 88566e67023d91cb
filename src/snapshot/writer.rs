//! Writes a snapshot, piece by piece.

use std::io::{self, Write};

use crc32fast::Hasher;

use super::axis::Instants;
use super::frame::{Footer, HEADER_BYTES, Header, Kind, push_record};
use super::seal::{Piece, Seal};

pub(super) struct Writer<'s, W> {
    to: W,
    header: [u8; HEADER_BYTES],
    seal: Option<&'s dyn Seal>,
    /// Records that are not written yet.
    piece: Vec<u8>,
    pieces: u32,
    checksum: Hasher,
    /// Of all records.
    bytes: u64,
    pub(super) records: u64,
    pub(super) written: u64,
}

impl<'s, W: Write> Writer<'s, W> {
    pub(super) fn begin(mut to: W, kind: Kind, seal: Option<&'s dyn Seal>) -> io::Result<Self> {
        let nonce = seal.map_or_else(Default::default, Seal::draw);
        let header = Header { kind, is_sealed: seal.is_some(), nonce }.encode();
        to.write_all(&header)?;
        let mut checksum = Hasher::new();
        checksum.update(&header);
        Ok(Self {
            to,
            header,
            seal,
            piece: Vec::with_capacity(2 * PIECE_BYTES),
            pieces: 0,
            checksum,
            bytes: 0,
            records: 0,
            written: header.len() as u64,
        })
    }

    /// Adds a record; false if it is too large for any snapshot.
    pub(super) fn push(&mut self, instants: Instants, payload: &[u8]) -> io::Result<bool> {
        let before = self.piece.len();
        if !push_record(&mut self.piece, instants, payload) {
            return Ok(false);
        }
        self.checksum.update(&self.piece[before..]);
        self.bytes += (self.piece.len() - before) as u64;
        self.records += 1;
        if self.piece.len() >= PIECE_BYTES {
            self.flush(false)?;
        }
        Ok(true)
    }

    /// Adds the footer and writes what is left; gives the file back, which is still to be synced.
    pub(super) fn finish(mut self, wall_ns: i64) -> io::Result<(W, u64, u64)> {
        let footer = Footer { records: self.records, bytes: self.bytes, wall_ns };
        self.piece.extend_from_slice(&footer.encode(self.checksum.clone()));
        self.flush(true)?;
        Ok((self.to, self.records, self.written))
    }

    fn flush(&mut self, is_last: bool) -> io::Result<()> {
        if let Some(seal) = self.seal {
            let bound = Piece { header: &self.header, number: self.pieces, is_last };
            let is_closed = seal.close(&bound, &mut self.piece);
            let length = u32::try_from(self.piece.len()).ok().filter(|_| is_closed);
            let next = self.pieces.checked_add(1);
            let (Some(length), Some(next)) = (length, next) else {
                return Err(io::Error::other("a piece cannot be encrypted"));
            };
            self.pieces = next;
            self.to.write_all(&length.to_le_bytes())?;
            self.written += 4;
        }
        self.to.write_all(&self.piece)?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }
}

/// Enough that neither the system's calls nor the tags count.
const PIECE_BYTES: usize = 256 << 10;
