//! Ids: what a client keeps, what the cache keeps, and what anyone may see.
//!
//! An id has two halves of 128 random bits each. The *public* one names the session for as long as it lives;
//! it is the cache's key, stands in device lists and logs, and is good for nothing else. The *secret*
//! one proves that a request is the client's; a new id is a new secret. The cache keeps only a digest of
//! it, and compares digests in constant time. This is the split token of Paragon's essay on
//! password-reset tokens [1]; the halves are drawn by the system's generator.
//!
//! D1. Nobody can make an id from what the cache holds, prints or tells: only [`SessionId`] has a secret,
//!     and only the caller has a `SessionId`.
//!
//! [1]: <https://paragonie.com/blog/2017/02/split-tokens-token-based-authentication-protocols-without-side-channels>

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

const HALF: usize = 16;

/// A session's id, for the client that it belongs to: whoever has it is in.
///
/// `Display` gives 43 characters that are safe in cookies and addresses; `FromStr` reads them. `Debug`
/// does not print it, and there is no `Hash`.
///
/// # Examples
///
/// ```
/// use sundown::sessions::{SessionId, Sessions};
/// let sessions: Sessions<u64, &str> = Sessions::builder().max_entries(10).build()?;
/// let id = sessions.create("basket")?;
/// let cookie = id.to_string();
/// assert_eq!(cookie.parse::<SessionId>()?, id);
/// assert_eq!(format!("{id:?}"), "SessionId(..)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SessionId {
    public: PublicId,
    secret: [u8; HALF],
}

impl SessionId {
    /// A new one, of a session that is to be.
    pub(crate) fn draw() -> Self {
        Self::with_public(PublicId::draw())
    }

    /// A new one of the same session.
    pub(crate) fn with_public(public: PublicId) -> Self {
        Self { public, secret: random() }
    }

    /// The half that anyone may see.
    #[must_use]
    pub fn public_id(&self) -> PublicId {
        self.public
    }

    #[cfg(test)]
    pub(crate) fn secret_bytes(&self) -> [u8; HALF] {
        self.secret
    }

    pub(crate) fn digest(&self) -> Digest {
        let hash = Sha256::digest(self.secret);
        let mut digest = [0; HALF];
        digest.copy_from_slice(&hash[..HALF]);
        Digest(digest)
    }
}

impl PartialEq for SessionId {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public && is_same(&self.secret, &other.secret)
    }
}

impl Eq for SessionId {}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 2 * HALF];
        bytes[..HALF].copy_from_slice(&self.public.0);
        bytes[HALF..].copy_from_slice(&self.secret);
        write_encoded(&bytes, f)
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes: [u8; 2 * HALF] = decode(text)?;
        let (mut public, mut secret) = ([0; HALF], [0; HALF]);
        public.copy_from_slice(&bytes[..HALF]);
        secret.copy_from_slice(&bytes[HALF..]);
        Ok(Self { public: PublicId(public), secret })
    }
}

/// What names a session to anyone, for as long as it lives and whatever its id: for device lists and
/// logs. It cannot be turned into a session.
///
/// # Examples
///
/// ```
/// use sundown::sessions::{PublicId, SessionId, Sessions};
/// let sessions: Sessions<u64, &str> = Sessions::builder().max_entries(10).build()?;
/// let id = sessions.create_for(7, "phone")?;
/// let shown = sessions.sessions_of(&7)[0].public_id.to_string();
/// assert!(shown.parse::<SessionId>().is_err());
/// assert!(sessions.revoke_public(&7, &shown.parse::<PublicId>()?));
/// assert!(sessions.get(&id).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicId([u8; HALF]);

impl PublicId {
    pub(crate) fn draw() -> Self {
        Self(random())
    }

    pub(crate) fn bytes(self) -> [u8; HALF] {
        self.0
    }

    #[allow(dead_code, reason = "for what outlives the process, which is a feature")]
    pub(crate) fn of_bytes(bytes: [u8; HALF]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicId({self})")
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_encoded(&self.0, f)
    }
}

impl FromStr for PublicId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        decode(text).map(Self)
    }
}

/// A text is no id of this kind: of the wrong length, or with a character that none has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a session's id")
    }
}

impl core::error::Error for InvalidId {}

/// What the cache keeps of a secret: half of its SHA-256.
#[derive(Clone, Copy)]
pub(crate) struct Digest([u8; HALF]);

impl Digest {
    pub(crate) fn bytes(self) -> [u8; HALF] {
        self.0
    }

    pub(crate) fn of_bytes(bytes: [u8; HALF]) -> Self {
        Self(bytes)
    }

    /// In constant time.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }
}

#[inline]
fn is_same(one: &[u8; HALF], other: &[u8; HALF]) -> bool {
    (u128::from_ne_bytes(*one) ^ u128::from_ne_bytes(*other)) == 0
}

/// # Panics
///
/// If the system has no random bytes to give.
fn random() -> [u8; HALF] {
    let mut bytes = [0; HALF];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

fn write_encoded(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; 4 * HALF];
    let length = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).map_err(|_| fmt::Error)?;
    f.write_str(core::str::from_utf8(&text[..length]).map_err(|_| fmt::Error)?)
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], InvalidId> {
    let mut bytes = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(length) if length == N => Ok(bytes),
        _ => Err(InvalidId),
    }
}
