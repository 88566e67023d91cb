//! The places in which a store can stand; the root names the version.

use sundown::Cache;
use time::Duration;
use tower_sessions::{CachingSessionStore, MemoryStore, SessionManagerLayer, SessionStore};

use crate::SundownStore;
use crate::common::build_app;

fn store() -> SundownStore {
    SundownStore::new(Cache::builder().max_entries(1_000)).unwrap()
}

fn in_front_of(behind: impl SessionStore) -> SundownStore {
    SundownStore::in_front_of(Cache::builder().max_entries(1_000), behind).unwrap()
}

macro_rules! stands {
    ($place:ident, $store:expr) => {
        mod $place {
            use super::*;

            async fn app(max_age: Option<Duration>, domain: Option<String>) -> axum::Router {
                let layer = SessionManagerLayer::new($store).with_secure(true);
                build_app(layer, max_age, domain)
            }

            mod routes {
                use super::app;

                route_tests!(app);
            }
        }
    };
}

stands!(as_the_store, store());
stands!(in_front_of_theirs, in_front_of(MemoryStore::default()));
stands!(in_front_of_its_own, in_front_of(store()));
stands!(as_the_store_behind, CachingSessionStore::new(MemoryStore::default(), store()));
