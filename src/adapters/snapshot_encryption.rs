//! XChaCha20-Poly1305 for snapshots, with the feature `snapshot-encryption`; what is sealed and to what it is bound
//! is said in `snapshot/seal.rs`.

use std::sync::Arc;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};

use crate::snapshot::SnapshotFile;
use crate::snapshot::seal::{Piece, Seal};

impl SnapshotFile {
    /// Encrypts the snapshot with a key of 32 random bytes, by XChaCha20-Poly1305; and restores none that is
    /// not encrypted with it, or was changed.
    ///
    /// The same key may be used for any number of snapshots. It belongs where the file is not: who has both has
    /// all that sessions hold.
    ///
    /// # Examples
    ///
    /// ```
    /// use sundown::{Cache, snapshot::SnapshotFile};
    /// # let folder = std::env::temp_dir().join(format!("sundown-doc-e-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("sessions");
    /// let key = [7; 32]; // from the service's secrets
    /// let cache = Cache::builder().max_entries(10).build()?;
    /// cache.insert(1, 2)?;
    /// cache.snapshot(SnapshotFile::at(&path).encrypted(&key), |k, v| serde_json::to_vec(&(k, v)))?;
    /// let (cache, report) = Cache::<u8, u8>::builder()
    ///     .max_entries(10)
    ///     .restore(SnapshotFile::at(&path).encrypted(&key), |bytes| serde_json::from_slice(bytes))?;
    /// assert_eq!((report.admitted, cache.get(&1)), (1, Some(2)));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encrypted(self, key: &[u8; 32]) -> Self {
        self.sealed(Arc::new(Cipher(XChaCha20Poly1305::new(Key::from_slice(key)))))
    }
}

struct Cipher(XChaCha20Poly1305);

impl Seal for Cipher {
    fn draw(&self) -> [u8; 20] {
        let mut nonce = [0; 20];
        getrandom::fill(&mut nonce).expect("the system gives random bytes");
        nonce
    }

    fn close(&self, piece: &Piece<'_>, text: &mut Vec<u8>) -> bool {
        let nonce = XNonce::from(piece.nonce());
        let tag = self.0.encrypt_in_place_detached(&nonce, piece.header, text);
        tag.map(|tag| text.extend_from_slice(&tag)).is_ok()
    }

    fn open(&self, piece: &Piece<'_>, sealed: &mut Vec<u8>) -> bool {
        let Some(end) = sealed.len().checked_sub(TAG_BYTES) else { return false };
        let tag = *Tag::from_slice(&sealed[end..]);
        sealed.truncate(end);
        let nonce = XNonce::from(piece.nonce());
        self.0.decrypt_in_place_detached(&nonce, piece.header, sealed, &tag).is_ok()
    }
}

const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::cache::Cache;
    use crate::snapshot::{CleanStart, Restored};

    type Strings = Cache<u32, String>;

    fn encode(key: &u32, value: &String) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&(key, value))
    }

    fn restore(path: &PathBuf, key: Option<u8>) -> (Strings, Restored) {
        let file = SnapshotFile::at(path);
        let file = key.map_or(file.clone(), |key| file.encrypted(&[key; 32]));
        let builder = Cache::builder().max_entries(100_000);
        builder.restore(file, |bytes| serde_json::from_slice(bytes)).unwrap()
    }

    /// Of some pieces.
    fn sealed(name: &str, sessions: u32, key: u8) -> (PathBuf, Vec<u8>) {
        let path = std::env::temp_dir().join(format!("sundown-seal-{name}-{}", std::process::id()));
        let cache = Cache::builder().max_entries(100_000).build().unwrap();
        for number in 0..sessions {
            cache.insert(number, "secret ".repeat(20)).unwrap();
        }
        let file = SnapshotFile::at(&path).encrypted(&[key; 32]);
        let written = cache.snapshot(file, encode).unwrap();
        assert_eq!(written.sessions, u64::from(sessions));
        let bytes = fs::read(&path).unwrap();
        assert_eq!(written.bytes, bytes.len() as u64);
        (path, bytes)
    }

    fn clean_up(path: &PathBuf) {
        let _gone = fs::remove_file(path);
        let _gone = fs::remove_file(path.with_extension("consumed"));
        let mut consumed = path.clone().into_os_string();
        consumed.push(".consumed");
        let _gone = fs::remove_file(consumed);
    }

    #[test]
    fn what_is_sealed_is_read_with_the_key_and_not_without() {
        let (path, bytes) = sealed("key", 5_000, 1);
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
        let (cache, restored) = restore(&path, Some(1));
        assert_eq!((restored.admitted, cache.len()), (5_000, 5_000), "{restored}");
        let why = |key| {
            fs::write(&path, &bytes).unwrap();
            let (cache, restored) = restore(&path, key);
            assert!(cache.is_empty() && !path.exists());
            restored.clean_start
        };
        assert!(matches!(why(Some(2)), Some(CleanStart::NotDecrypted)));
        assert!(matches!(why(None), Some(CleanStart::Encrypted)));
        let cache = Strings::builder().max_entries(10).build().unwrap();
        cache.snapshot(&path, encode).unwrap();
        assert!(matches!(restore(&path, Some(1)).1.clean_start, Some(CleanStart::NotEncrypted)));
        clean_up(&path);
    }

    #[test]
    fn pieces_are_neither_changed_moved_nor_left_out() {
        let (path, bytes) = sealed("pieces", 5_000, 1);
        let is_refused = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let (cache, restored) = restore(&path, Some(1));
            restored.clean_start.is_some() && cache.is_empty()
        };
        assert!(!is_refused(&bytes));
        // Where the pieces begin and end.
        let (mut at, mut ends) = (40, vec![40]);
        while at < bytes.len() {
            at += 4 + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            ends.push(at);
        }
        assert!(ends.len() > 3, "there are {} pieces", ends.len() - 1);
        let piece = |number: usize| &bytes[ends[number]..ends[number + 1]];
        let last = ends.len() - 2;
        for &end in &ends[..=last] {
            assert!(is_refused(&bytes[..end]), "cut off at {end}");
        }
        let swapped = [&bytes[..40], piece(1), piece(0), &bytes[ends[2]..]].concat();
        assert!(is_refused(&swapped));
        let without = [&bytes[..40], &bytes[ends[1]..]].concat();
        assert!(is_refused(&without));
        for at in (0..bytes.len()).step_by(9_973).chain(0..60) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(is_refused(&changed), "changed at {at}");
        }
        let (other_path, other) = sealed("other", 5_000, 1);
        assert_ne!(bytes[20..40], other[20..40], "each has a nonce of its own");
        let mixed = [&bytes[..ends[last]], &other[ends[last]..]].concat();
        assert!(is_refused(&mixed));
        clean_up(&path);
        clean_up(&other_path);
    }
}
