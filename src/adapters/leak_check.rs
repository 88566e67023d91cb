//! What [`LeakCheck`](crate::testing::LeakCheck) sees of sessions, and of the stores: the cache that they are in.

use std::hash::Hash;

use crate::platform::sync::Arc;
use crate::sessions::Sessions;
use crate::testing::{Subject, Suspect};

impl<P, T> Subject for Sessions<P, T>
where
    P: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn suspect(&self) -> Arc<dyn Suspect> {
        self.cache().suspect()
    }
}

/// For the stores of all frameworks.
macro_rules! subjects {
    ($($feature:literal: $store:ty;)*) => {
        $(
            #[cfg(feature = $feature)]
            impl Subject for $store {
                fn suspect(&self) -> Arc<dyn Suspect> {
                    self.cache().suspect()
                }
            }
        )*
    };
}

subjects! {
    "actix-session-0_11": super::actix_session::SundownActixStore;
    "poem-3": super::poem::SundownPoemStorage;
    "saysion-0_2": super::saysion::SundownSaysionStore;
    "tower-sessions-0_14": super::tower_sessions::v0_14::SundownStore;
    "tower-sessions-0_15": super::tower_sessions::v0_15::SundownStore;
}

#[cfg(all(test, not(any(sundown_loom, sundown_shuttle))))]
mod tests {
    use core::time::Duration;

    use crate::sessions::Sessions;
    use crate::testing::LeakCheck;

    #[test]
    fn a_session_that_is_held_on_is_found() {
        let sessions: Sessions<u64, u64> = Sessions::builder()
            .max_entries(10)
            .track_overstays(Duration::from_secs(60))
            .build()
            .unwrap();
        let check = LeakCheck::of(&sessions);
        let id = sessions.create_for(1, 7).unwrap();
        let held = sessions.get(&id).unwrap();
        assert_eq!(sessions.revoke_all(&1), 1);
        let leaks = check.freed_within(Duration::from_millis(200)).unwrap_err();
        assert_eq!(leaks.overstays.count, 1, "{leaks}");
        drop(held);
        check.assert_all_freed(Duration::from_secs(30));
    }

    #[cfg(feature = "tower-sessions-0_15")]
    #[test]
    fn a_stores_session_is_found_until_it_ends() {
        use crate::cache::Cache;
        use crate::tower_sessions_0_15::SundownStore;
        use tower_sessions_core_0_15::session::{Id, Record};

        let store = SundownStore::new(Cache::builder().max_entries(10)).unwrap();
        let check = LeakCheck::of(&store);
        let expiry_date = time::OffsetDateTime::now_utc() + time::Duration::HOUR;
        let record = Record { id: Id::default(), data: Default::default(), expiry_date };
        store.cache().insert(record.id, record).unwrap();
        let leaks = check.freed_within(Duration::from_millis(100)).unwrap_err();
        assert!(leaks.to_string().contains("1 "), "{leaks}");
        store.cache().clear();
        check.assert_all_freed(Duration::from_secs(30));
    }
}
