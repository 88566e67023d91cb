//! What stands for an id outside of the request that has it.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a session's id, or of a principal's name: what caches, backends and messages have.
///
/// An id cannot be told from its key. A principal's name can be guessed from it, as names are few.
/// `Display` gives 43 characters that are safe in the names of keys; `FromStr` reads them.
///
/// # Examples
///
/// ```
/// use sundown::fleet::Key;
/// let key = Key::of("3f2a");
/// assert_eq!(key.to_string().parse::<Key>(), Ok(key));
/// assert_ne!(key, Key::of_principal("3f2a"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of a session's id.
    #[must_use]
    pub fn of(id: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(id).into())
    }

    /// The key of a principal, such as a user's name or number.
    #[must_use]
    pub fn of_principal(name: impl AsRef<[u8]>) -> Self {
        let hash = Sha256::new_with_prefix("principal\0").chain_update(name);
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_BYTES];
        let length = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(core::str::from_utf8(&text[..length]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(InvalidKey),
        }
    }
}

/// A text is no key: of the wrong length, or with a character that none has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a session's key")
    }
}

impl core::error::Error for InvalidKey {}

/// 32 bytes in base64, without padding.
const TEXT_BYTES: usize = 43;
