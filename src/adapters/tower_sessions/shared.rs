//! What a fleet keeps of a record, in the words of whichever version the parent imports as `framework`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::framework::session::Id;
use crate::adapters::merge::{Digest, Merger, Pairs};
use crate::fleet::{Codec, Key};

pub(super) type Data = Pairs<serde_json::Value>;

/// A session as a fleet keeps it: a record without its id.
#[derive(Clone)]
pub struct Shared {
    pub(super) data: Data,
    /// In nanoseconds since 1970.
    pub(super) expires_ns: i128,
    /// Of the data; made when the first request asks for it.
    digest: OnceLock<Digest>,
}

impl Shared {
    pub(super) fn new(data: Data, expires_ns: i128) -> Self {
        Self { data, expires_ns, digest: OnceLock::new() }
    }

    pub(super) fn digest(&self, merger: &Merger) -> Digest {
        self.digest.get_or_init(|| merger.digest(&self.data)).clone()
    }

    /// What the application keeps in it.
    #[must_use]
    pub fn data(&self) -> &HashMap<String, serde_json::Value> {
        &self.data
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

pub(super) fn key_of(id: &Id) -> Key {
    Key::of(id.0.to_be_bytes())
}

pub(super) fn codec() -> Codec<Shared> {
    Codec::new(
        |shared: &Shared| {
            let parts = (shared.expires_ns.to_string(), &shared.data);
            serde_json::to_vec(&parts).map_err(|error| Arc::new(error) as _)
        },
        |bytes| {
            let (expires, data): (String, Data) = serde_json::from_slice(bytes).ok()?;
            Some(Shared::new(data, expires.parse().ok()?))
        },
    )
}
