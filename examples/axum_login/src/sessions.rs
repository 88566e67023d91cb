//! The sessions: of this process alone, or of all instances over one Redis.

use std::path::Path;
use std::time::Duration;

use sundown::fleet::{Error as FleetError, TieredOptions, TieredStats};
use sundown::redis_1::{RedisBackend, RedisOptions};
use sundown::sessions::OnLimit;
use sundown::snapshot::SnapshotError;
use sundown::tower_sessions_0_15::{SundownStore, TieredStore};
use sundown::{BuildError, Cache, Clock, Stats};
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Error;

use crate::Limits;
use crate::pages::USER;

/// By what the list of devices calls one.
const DEVICE: &str = crate::devices::DEVICE;

#[derive(Clone)]
pub(crate) enum Sessions {
    Alone(SundownStore),
    Shared(TieredStore),
}

/// One of a user's sessions, as the page shows it.
pub(crate) struct Device {
    /// By which it can be ended, and nothing else.
    pub(crate) public_id: String,
    pub(crate) name: Option<String>,
    /// Since the log-in.
    pub(crate) age: Duration,
    /// Whether it is the one that asks.
    pub(crate) is_own: bool,
}

impl Sessions {
    /// Those of a snapshot are back, if there is one.
    pub(crate) fn alone(
        limits: Limits,
        clock: Clock,
        snapshot: Option<&Path>,
    ) -> Result<Self, BuildError> {
        let cache = Cache::builder()
            .max_entries(limits.sessions)
            .max_weight(limits.bytes)
            .time_to_idle(limits.idle)
            .time_to_live(limits.live)
            .clock(clock);
        let mut store = SundownStore::builder(cache).principal(user_of);
        if let Some(per_user) = limits.per_user {
            store = store.max_per_principal(per_user, OnLimit::RevokeOldest);
        }
        let Some(path) = snapshot else { return Ok(Self::Alone(store.build()?)) };
        let (store, report) = store.restore(path)?;
        println!("{report}");
        Ok(Self::Alone(store))
    }

    /// Writes them for the next process; not those that are shared, which outlive this one anyway.
    pub(crate) fn snapshot(&self, path: &Path) -> Result<(), SnapshotError> {
        if let Self::Alone(store) = self {
            println!("{}", store.snapshot(path)?);
        }
        Ok(())
    }

    /// Each instance has a cache of its own in front of the Redis at `url`.
    pub(crate) async fn over(
        url: &str,
        limits: Limits,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let redis = RedisOptions::default().namespace("sundown-login");
        let redis = RedisBackend::connect(url, redis).await.map_err(told)?;
        let near = Cache::builder()
            .max_entries(limits.sessions)
            .time_to_idle(limits.idle)
            .time_to_live(limits.live);
        let mut options = TieredOptions::default();
        if let Some(per_user) = limits.per_user {
            options = options.max_per_principal(per_user, OnLimit::RevokeOldest);
        }
        let store = SundownStore::tiered_with(near, redis, options).await?;
        Ok(Self::Shared(store.principal(user_of)))
    }

    pub(crate) fn stats(&self) -> (Stats, Option<TieredStats>) {
        match self {
            Self::Alone(store) => (store.cache().stats(), None),
            Self::Shared(store) => (store.sessions().cache().stats(), Some(store.tiered_stats())),
        }
    }

    /// The user's sessions, the oldest first.
    pub(crate) async fn devices(&self, user: &str, own: Option<Id>) -> Result<Vec<Device>, Error> {
        let name = |data: &Data| data.get(DEVICE).and_then(|name| name.as_str()).map(str::to_owned);
        Ok(match self {
            Self::Alone(store) => {
                let listed = store.sessions_of(user).into_iter();
                let devices = listed.map(|info| Device {
                    public_id: info.public_id.to_string(),
                    name: name(&info.data.data),
                    age: info
                        .authenticated
                        .and_then(|time| time.elapsed().ok())
                        .unwrap_or_default(),
                    is_own: Some(info.data.id) == own,
                });
                devices.collect()
            }
            Self::Shared(store) => {
                let own = own.map(|id| TieredStore::public_id(&id));
                let listed = store.sessions_of(user).await?.into_iter();
                let devices = listed.map(|(key, session)| Device {
                    public_id: key.to_string(),
                    name: name(session.data()),
                    age: session.age(),
                    is_own: Some(key) == own,
                });
                devices.collect()
            }
        })
    }

    pub(crate) async fn end_all(&self, user: &str) -> Result<usize, Error> {
        match self {
            Self::Alone(store) => Ok(store.revoke_all(user)),
            Self::Shared(store) => Ok(store.revoke_all(user).await?),
        }
    }

    pub(crate) async fn end_others(&self, user: &str, kept: &Id) -> Result<usize, Error> {
        match self {
            Self::Alone(store) => Ok(store.revoke_others(user, kept)),
            Self::Shared(store) => Ok(store.revoke_others(user, kept).await?),
        }
    }

    /// Ends one that the list names; false if the user has none of this name.
    pub(crate) async fn end_one(&self, user: &str, public_id: &str) -> Result<bool, Error> {
        match self {
            Self::Alone(store) => {
                let public_id = public_id.parse();
                Ok(public_id.is_ok_and(|public_id| store.revoke_public(user, &public_id)))
            }
            Self::Shared(store) => match public_id.parse() {
                Ok(public_id) => Ok(store.revoke_public(user, &public_id).await?),
                Err(_) => Ok(false),
            },
        }
    }
}

type Data = std::collections::HashMap<String, serde_json::Value>;

fn user_of(record: &Record) -> Option<String> {
    record.data.get(USER)?.as_str().map(str::to_owned)
}

/// With its cause.
fn told(error: FleetError) -> String {
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
