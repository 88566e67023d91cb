//! Where a snapshot is encrypted: its body in pieces, so that neither side needs all of it twice.
//!
//! ```text
//!   header ‖ { length 4 ‖ sealed piece ‖ tag } …
//! ```
//!
//! E1. A piece is bound to its number, to whether it is the last, and to the header. So none can be left out,
//!     repeated, moved, taken from another snapshot, or cut off behind another one. This is the construction
//!     STREAM \[1\]; the nonce's first bytes are drawn for each snapshot.
//!
//! \[1\] Hoang, Reyhanitabar, Rogaway and Vizár, Online Authenticated-Encryption and its Nonce-Reuse
//!     Misuse-Resistance, CRYPTO 2015.

use super::frame::{HEADER_BYTES, Header, NONCE_BYTES};
use super::report::CleanStart;

/// Encrypts with a key of the caller's.
pub(crate) trait Seal: Send + Sync {
    /// What is drawn for one snapshot; its last byte is not used.
    fn draw(&self) -> [u8; NONCE_BYTES];
    /// Encrypts a piece in its place, and appends a tag. False if that cannot be done.
    fn close(&self, piece: &Piece<'_>, text: &mut Vec<u8>) -> bool;
    /// The reverse; false if it is not the piece that was closed.
    fn open(&self, piece: &Piece<'_>, sealed: &mut Vec<u8>) -> bool;
}

/// What a piece is bound to (E1).
pub(crate) struct Piece<'h> {
    pub(crate) header: &'h [u8; HEADER_BYTES],
    pub(crate) number: u32,
    pub(crate) is_last: bool,
}

impl Piece<'_> {
    /// The nonce: what was drawn, the number, and whether it is the last.
    #[allow(dead_code, reason = "for the cipher, which is a feature")]
    pub(crate) fn nonce(&self) -> [u8; 24] {
        let mut nonce = [0; 24];
        let drawn = HEADER_BYTES - NONCE_BYTES;
        nonce[..19].copy_from_slice(&self.header[drawn..drawn + 19]);
        nonce[19..23].copy_from_slice(&self.number.to_be_bytes());
        nonce[23] = self.is_last.into();
        nonce
    }
}

/// Opens all pieces of a sealed body.
pub(super) fn open(seal: &dyn Seal, header: Header, body: &[u8]) -> Result<Vec<u8>, CleanStart> {
    let header = header.encode();
    let mut opened = Vec::with_capacity(body.len());
    let (mut rest, mut number) = (body, 0_u32);
    loop {
        let (length, after) = rest.split_first_chunk::<4>().ok_or(CleanStart::Damaged)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (piece, after) = after.split_at_checked(length).ok_or(CleanStart::Damaged)?;
        let mut piece = piece.to_vec();
        let bound = Piece { header: &header, number, is_last: after.is_empty() };
        if !seal.open(&bound, &mut piece) {
            return Err(CleanStart::NotDecrypted);
        }
        opened.append(&mut piece);
        if after.is_empty() {
            return Ok(opened);
        }
        number = number.checked_add(1).ok_or(CleanStart::Damaged)?;
        rest = after;
    }
}
