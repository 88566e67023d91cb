//! What [`LeakCheck`](crate::testing::LeakCheck) sees of sessions: the cache that they are in.

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
}
