use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use super::super::framework::{Session, SessionStore};
use super::*;
use crate::cache::Cache;
use crate::lifetime::Expiry;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;
use crate::sessions::OnLimit;
use crate::snapshot::CleanStart;

/// A path of the test's own, with nothing there at its end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        // Relaxed: a number.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", module_path!().replace(':', "-"), std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
        let _gone = fs::remove_file(format!("{}.consumed", self.0.display()));
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

type Setup = StoreBuilder<Id, Record, SundownStore>;

fn settings(clock: &ManualClock) -> Setup {
    let cache = Cache::builder()
        .max_entries(100)
        .time_to_live(8 * HOUR)
        .time_to_idle(HOUR)
        .clock(clock.clone())
        .reaper(Reaper::Manual);
    let user = |record: &Record| Some(record.data.get("user")?.as_str()?.to_owned());
    SundownStore::builder(cache).principal(user)
}

async fn log_in(store: &SundownStore, user: &str) -> Id {
    let session = Session::new(None, Arc::new(store.clone()), None);
    session.insert("user", user).await.unwrap();
    session.save().await.unwrap();
    session.id().unwrap()
}

fn write(store: &SundownStore, place: &Place) -> SystemTime {
    let now = SystemTime::now();
    let written = store.snapshot(SnapshotFile::at(&place.0).as_of(now)).unwrap();
    assert_eq!(written.refused, 0);
    now
}

fn restore(setup: Setup, place: &Place, now: SystemTime) -> SundownStore {
    let (store, restored) = setup.restore(SnapshotFile::at(&place.0).as_of(now)).unwrap();
    assert!(restored.clean_start.is_none() && restored.refused == 0, "{restored}");
    store.cache().audit().unwrap();
    store.keeper.check_roster();
    store
}

#[test]
fn whoever_is_logged_in_stays_so_and_whoever_was_not_is_not() {
    pollster::block_on(async {
        let (place, clock) = (Place::new(), ManualClock::new());
        let store = settings(&clock).build().unwrap();
        let ada = log_in(&store, "ada").await;
        clock.advance(SECOND);
        let phone = log_in(&store, "ada").await;
        let gone = log_in(&store, "bob").await;
        let visitor = Session::new(None, Arc::new(store.clone()), None);
        visitor.insert("basket", 3).await.unwrap();
        visitor.save().await.unwrap();
        store.delete(&gone).await.unwrap();
        clock.advance(600 * SECOND);
        let born = store.cache().peek(&ada).unwrap().data["sundown.created"].clone();
        let listed: Vec<_> = store.sessions_of("ada").iter().map(|info| info.public_id).collect();
        let now = write(&store, &place);

        let clock = ManualClock::new();
        let store = restore(settings(&clock), &place, now + 60 * SECOND);
        assert_eq!(store.cache().len(), 3);
        assert_eq!(store.cache().expires_in(&ada), Some(Expiry::In(HOUR - 661 * SECOND)));
        let again: Vec<_> = store.sessions_of("ada").iter().map(|info| info.public_id).collect();
        assert_eq!(again, listed, "the oldest log-in first");
        assert!(store.load(&gone).await.unwrap().is_none());
        let id = visitor.id().unwrap();
        assert_eq!(store.load(&id).await.unwrap().unwrap().data["basket"], 3);

        // Requests go on where they were: a new id, a change, and the end of all of a user's.
        let session = Session::new(Some(ada), Arc::new(store.clone()), None);
        session.cycle_id().await.unwrap();
        session.insert("seen", true).await.unwrap();
        session.save().await.unwrap();
        let new = session.id().unwrap();
        assert!(store.load(&ada).await.unwrap().is_none());
        let record = store.load(&new).await.unwrap().unwrap();
        assert_eq!((&record.data["user"], &record.data["seen"]), (&"ada".into(), &true.into()));
        assert_eq!(store.sessions_of("ada")[0].public_id, listed[0]);
        assert_eq!(record.data["sundown.created"], born, "the absolute timeout goes on");
        assert_eq!(store.keeper.check_roster(), 2);
        assert_eq!(store.revoke_all("ada"), 2);
        assert!(store.load(&new).await.unwrap().is_none());
        assert!(store.load(&phone).await.unwrap().is_none());

        let (store, restored) = settings(&clock).restore(&place.0).unwrap();
        assert!(matches!(restored.clean_start, Some(CleanStart::NoFile)));
        assert!(store.cache().is_empty());
    });
}

#[test]
fn a_lower_limit_holds_for_those_who_come_back() {
    pollster::block_on(async {
        let (place, clock) = (Place::new(), ManualClock::new());
        let store = settings(&clock).build().unwrap();
        for _ in 0..5 {
            log_in(&store, "ada").await;
            clock.advance(SECOND);
        }
        let now = write(&store, &place);
        let few = settings(&clock).max_per_principal(2, OnLimit::RevokeOldest);
        let (store, _) = few.restore(SnapshotFile::at(&place.0).as_of(now)).unwrap();
        assert_eq!((store.sessions_of("ada").len(), store.keeper.check_roster()), (2, 2));
    });
}

#[test]
fn anonymous_sessions_keep_their_share_and_their_order() {
    pollster::block_on(async {
        let (place, clock) = (Place::new(), ManualClock::new());
        let capped =
            || settings(&clock).anonymous_up_to(0.2, |record| !record.data.contains_key("user"));
        let store = capped().build().unwrap();
        let ada = log_in(&store, "ada").await;
        let visit = async |store: &SundownStore| {
            clock.advance(SECOND);
            let visitor = Session::new(None, Arc::new(store.clone()), None);
            visitor.insert("basket", 3).await.unwrap();
            visitor.save().await.unwrap();
            visitor.id().unwrap()
        };
        let mut ids = Vec::new();
        for _ in 0..30 {
            ids.push(visit(&store).await);
        }
        let is_in = |store: &SundownStore| {
            ids.iter().map(|id| store.cache().contains_key(id)).collect::<Vec<_>>()
        };
        // What the register has evicted leaves.
        store.keeper.reap();
        let before = is_in(&store);
        assert!(!before[0] && before[29]);
        let now = write(&store, &place);
        let store = restore(capped(), &place, now);
        assert_eq!(is_in(&store), before);
        // The one that was used first goes first.
        let first = before.iter().position(|is_in| *is_in).unwrap();
        visit(&store).await;
        store.keeper.reap();
        let mut after = before;
        after[first] = false;
        assert_eq!(is_in(&store), after);
        assert!(store.load(&ada).await.unwrap().is_some());
    });
}

#[test]
fn a_copy_of_what_a_database_keeps_is_not_written() {
    let (place, clock) = (Place::new(), ManualClock::new());
    let db = settings(&clock).build().unwrap();
    let store = SundownStore::in_front_of(Cache::builder().max_entries(10), db).unwrap();
    assert!(store.snapshot(&place.0).is_err() && !place.0.exists());
}
