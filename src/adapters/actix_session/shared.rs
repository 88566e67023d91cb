//! What a fleet keeps of a session, and under which name.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::framework::storage::SessionKey;
use super::{SessionId, SessionState};
use crate::adapters::lifespan::{BIRTH_KEY, Stated};
use crate::adapters::merge::{Digest, Merger};
use crate::fleet::{Codec, Key};

/// A session's state as a fleet keeps it.
#[derive(Clone)]
pub struct Shared {
    pub(super) state: SessionState,
    /// Made when the first request asks for it.
    digest: OnceLock<Digest>,
}

impl Shared {
    pub(super) fn new(state: SessionState) -> Self {
        Self { state, digest: OnceLock::new() }
    }

    pub(super) fn digest(&self, merger: &Merger) -> Digest {
        self.digest.get_or_init(|| merger.digest(&self.state)).clone()
    }

    /// What the application keeps in it.
    #[must_use]
    pub fn state(&self) -> &SessionState {
        &self.state
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

pub(super) fn codec() -> Codec<Shared> {
    Codec::new(
        |shared: &Shared| serde_json::to_vec(&shared.state).map_err(|error| Arc::new(error) as _),
        |bytes| serde_json::from_slice(bytes).ok().map(Shared::new),
    )
}

pub(super) fn key_of(id: &SessionId) -> Key {
    Key::of(id.secret())
}

/// Of a key that is none of ours, that of no session.
pub(super) fn key_of_any(session_key: &SessionKey) -> Key {
    Key::of(session_key.as_ref())
}

/// Whether a save is to begin the absolute timeout anew; the mark is for us alone.
pub(super) fn begins_anew(state: &mut SessionState) -> bool {
    Stated::in_json(state.remove(BIRTH_KEY).as_deref()) == Some(Stated::Now)
}

pub(super) fn places_of(state: &SessionState) -> Arc<[usize]> {
    let mut places: Vec<_> = state.values().map(|text| place_of(text)).collect();
    places.sort_unstable();
    places.into()
}

pub(super) fn place_of(text: &str) -> usize {
    text.as_ptr().addr()
}
