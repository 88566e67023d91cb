//! What a request wants a session to be, and how it is turned into bytes.

use core::fmt;
use core::time::Duration;

use super::backend::Origin;
use super::error::Source;
use super::key::Key;
use crate::lifetime::Lifetime;
use crate::platform::sync::Arc;

type Encode<V> = dyn Fn(&V) -> Result<Vec<u8>, Source> + Send + Sync;
type Decode<V> = dyn Fn(&[u8]) -> Option<V> + Send + Sync;

/// How values are turned into bytes and back.
///
/// # Examples
///
/// ```
/// use sundown::fleet::Codec;
/// let text: Codec<String> = Codec::new(
///     |text: &String| Ok(text.clone().into_bytes()),
///     |bytes| String::from_utf8(bytes.to_vec()).ok(),
/// );
/// # let _ = text;
/// ```
pub struct Codec<V> {
    encode: Arc<Encode<V>>,
    decode: Arc<Decode<V>>,
}

impl<V> Codec<V> {
    /// From two closures. What `decode` gives none for is served as if it had no session, so that a format
    /// may change.
    pub fn new(
        encode: impl Fn(&V) -> Result<Vec<u8>, Source> + Send + Sync + 'static,
        decode: impl Fn(&[u8]) -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        Self { encode: Arc::new(encode), decode: Arc::new(decode) }
    }

    pub(super) fn encode(&self, value: &V) -> Result<Vec<u8>, Source> {
        (self.encode)(value)
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Option<V> {
        (self.decode)(bytes)
    }
}

impl Codec<Vec<u8>> {
    /// Of sessions that are bytes already.
    #[must_use]
    pub fn bytes() -> Self {
        Self::new(|bytes: &Vec<u8>| Ok(bytes.clone()), |bytes| Some(bytes.to_vec()))
    }
}

impl<V> Clone for Codec<V> {
    fn clone(&self) -> Self {
        Self { encode: self.encode.clone(), decode: self.decode.clone() }
    }
}

impl<V> fmt::Debug for Codec<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec { .. }")
    }
}

/// A session to be created or saved.
///
/// Without a lifetime a new session has those of the cache's builder, and a saved one keeps its deadline and its
/// idle time. Without a principal a new session is anonymous, and a saved one keeps its principal.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sundown::Lifetime;
/// use sundown::fleet::Draft;
/// let draft = Draft::new("basket")
///     .of("ada")
///     .lifetime(Lifetime::default().live(Duration::from_secs(3600)));
/// # let _ = draft;
/// ```
#[derive(Clone)]
#[must_use = "a draft does nothing until it is created or saved"]
pub struct Draft<V> {
    pub(super) value: V,
    pub(super) lifetime: Option<Lifetime>,
    pub(super) origin: Origin,
    pub(super) age: Option<Duration>,
    pub(super) predecessor: Option<Key>,
}

impl<V> Draft<V> {
    /// A session that has this value.
    pub fn new(value: V) -> Self {
        Self { value, lifetime: None, origin: Origin::Kept, age: None, predecessor: None }
    }

    /// Ends it so long after the write, or after its last use.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Makes it a principal's, as at log-in.
    pub fn of(mut self, principal: impl AsRef<[u8]>) -> Self {
        self.origin = Origin::Of(Key::of_principal(principal));
        self
    }

    /// Makes it nobody's.
    pub fn of_nobody(mut self) -> Self {
        self.origin = Origin::Anonymous;
        self
    }

    /// Has it begun so long ago, rather than at its creation: a session keeps its age under a new id, and a log-in
    /// may begin it anew.
    pub fn aged(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Creates it in place of a session that the caller has just deleted, as for a new id. If another request deletes
    /// that as well, it is a log-out, which ends this one or keeps it from being created.
    pub fn in_place_of(mut self, predecessor: &Key) -> Self {
        self.predecessor = Some(*predecessor);
        self
    }
}

impl<V> fmt::Debug for Draft<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").finish_non_exhaustive()
    }
}
