//! The places in which a store can stand; the root names the version.

use sundown::Cache;
use time::Duration;
use tower_sessions::{CachingSessionStore, MemoryStore, SessionManagerLayer};

use crate::SundownStore;
use crate::common::build_app;

fn store() -> SundownStore {
    SundownStore::new(Cache::builder().max_entries(1_000)).unwrap()
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
stands!(as_the_store_behind, CachingSessionStore::new(MemoryStore::default(), store()));
