//! Bytes of a trace file, record by record: plain or gzipped, in memory that does not grow.
//!
//! A record is a line of text or a fixed number of bytes. What cannot be a record (a line without
//! end, half a number at the end of the file) is [`Piece::Flawed`], which is for the caller to
//! count; only a file that cannot be read at all, or not to its end, is an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::{error, fmt};

use flate2::read::MultiGzDecoder;

/// A longer line is noise: the longest in the real traces is under 4 KiB.
const LONGEST_LINE_BYTES: u64 = 1 << 20;
/// Large enough that decompression, not the system call, sets the pace.
const BUFFER_BYTES: usize = 1 << 16;
/// How every gzip file begins: two magic bytes and the only compression method there is. Raw keys
/// may begin so by chance, one file in 16 million.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

/// One open trace file.
pub(crate) struct Source {
    path: PathBuf,
    reader: BufReader<Box<dyn Read>>,
    number: u64,
    record: Vec<u8>,
}

/// What [`Source`] found next.
pub(crate) enum Piece<'a> {
    Record(&'a [u8]),
    /// Not a record, and why.
    Flawed(&'static str),
    End,
}

impl Source {
    pub(crate) fn open(path: PathBuf) -> Result<Self, TraceError> {
        match decoded(&path) {
            Ok(bytes) => Ok(Self {
                path,
                reader: BufReader::with_capacity(BUFFER_BYTES, bytes),
                number: 0,
                record: Vec::new(),
            }),
            Err(error) => Err(TraceError { path, error }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the record read last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line without its ending.
    pub(crate) fn line(&mut self) -> Result<Piece<'_>, TraceError> {
        self.record.clear();
        // One byte over the limit tells a line that just fits from one that does not.
        let mut limited = (&mut self.reader).take(LONGEST_LINE_BYTES + 1);
        match limited.read_until(b'\n', &mut self.record) {
            Ok(0) => return Ok(Piece::End),
            Ok(_) => self.number += 1,
            Err(error) => return Err(self.failed(error)),
        }
        if self.record.last() == Some(&b'\n') {
            self.record.pop();
            if self.record.last() == Some(&b'\r') {
                self.record.pop();
            }
        } else if self.record.len() as u64 > LONGEST_LINE_BYTES {
            if let Err(error) = self.reader.skip_until(b'\n') {
                return Err(self.failed(error));
            }
            return Ok(Piece::Flawed("the line is longer than 1 MiB"));
        }
        Ok(Piece::Record(&self.record))
    }

    /// The next `width_bytes` bytes.
    pub(crate) fn fixed(&mut self, width_bytes: usize) -> Result<Piece<'_>, TraceError> {
        self.record.clear();
        while self.record.len() < width_bytes {
            let ready = match self.reader.fill_buf() {
                Ok(ready) => ready,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(error)),
            };
            if ready.is_empty() {
                break;
            }
            let taken = ready.len().min(width_bytes - self.record.len());
            self.record.extend_from_slice(&ready[..taken]);
            self.reader.consume(taken);
        }
        if self.record.is_empty() {
            return Ok(Piece::End);
        }
        self.number += 1;
        if self.record.len() < width_bytes {
            return Ok(Piece::Flawed("the file ends inside a key"));
        }
        Ok(Piece::Record(&self.record))
    }

    fn failed(&self, error: io::Error) -> TraceError {
        TraceError { path: self.path.clone(), error }
    }
}

/// A trace file that cannot be read.
#[derive(Debug)]
pub(crate) struct TraceError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}", self.path.display())
    }
}

impl error::Error for TraceError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The bytes of a file, decompressed if its first bytes (not its name) say that it is gzipped.
fn decoded(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start)?;
    let is_gzip = start == GZIP_MAGIC;
    let bytes = Cursor::new(start).chain(file);
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) })
}
