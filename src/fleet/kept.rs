//! What of a principal's session is kept, and its bytes.

use core::fmt;
use core::time::Duration;

use crate::platform::sync::Arc;
use crate::sessions::PublicId;
use crate::sessions::id::Digest;

/// What a cache of [`TieredSessions`](super::TieredSessions) holds of a session.
pub struct Kept<P, T> {
    pub(super) public: PublicId,
    pub(super) digest: Digest,
    /// The id before, and how old the session is when its grace ends.
    pub(super) graced: Option<(Digest, Duration)>,
    /// How old the session was when it was logged in last.
    pub(super) authenticated: Option<Duration>,
    pub(super) principal: Option<Arc<P>>,
    pub(super) data: Arc<T>,
}

impl<P, T> Kept<P, T> {
    /// Asks for the session's age only if that matters.
    pub(super) fn is_served(&self, by: &Digest, age: impl FnOnce() -> Duration) -> bool {
        let is_graced = |(digest, until): &(Digest, Duration)| digest.is(by) && age() < *until;
        self.digest.is(by) || self.graced.as_ref().is_some_and(is_graced)
    }

    pub(super) fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let (graced, until) = self.graced.unwrap_or((self.digest, Duration::ZERO));
        let authenticated = self.authenticated.map_or(u64::MAX, millis);
        let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
        for id in [self.public.bytes(), self.digest.bytes(), graced.bytes()] {
            bytes.extend_from_slice(&id);
        }
        for number in [millis(until), authenticated] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(payload);
        bytes
    }
}

impl Kept<(), ()> {
    /// And what `encode` was given.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, payload) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let id = |at: usize| head[at..].first_chunk::<16>().copied();
        let number = |at: usize| head[at..].first_chunk::<8>().copied().map(u64::from_le_bytes);
        let until = Duration::from_millis(number(48)?);
        let authenticated = Some(number(56)?).filter(|&millis| millis != u64::MAX);
        let kept = Self {
            public: PublicId::of_bytes(id(0)?),
            digest: Digest::of_bytes(id(16)?),
            graced: (!until.is_zero()).then_some((Digest::of_bytes(id(32)?), until)),
            authenticated: authenticated.map(Duration::from_millis),
            principal: None,
            data: Arc::new(()),
        };
        Some((kept, payload))
    }

    pub(super) fn with<P, T>(self, principal: Option<Arc<P>>, data: Arc<T>) -> Kept<P, T> {
        let Self { public, digest, graced, authenticated, .. } = self;
        Kept { public, digest, graced, authenticated, principal, data }
    }
}

impl<P, T> Clone for Kept<P, T> {
    fn clone(&self) -> Self {
        let Self { public, digest, graced, authenticated, .. } = *self;
        let (principal, data) = (self.principal.clone(), self.data.clone());
        Self { public, digest, graced, authenticated, principal, data }
    }
}

impl<P, T> fmt::Debug for Kept<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("public_id", &self.public).finish_non_exhaustive()
    }
}

/// Three ids, and two spans in milliseconds.
const HEAD_BYTES: usize = 64;
