//! What a subscriber of ours is told.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;
use crate::cache::Cache;
use crate::cache::tests::reap_all;
use crate::overstay::Tracked;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;

#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<(Level, String)>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sundown"
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push((*event.metadata().level(), fields.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Told {
    pub(crate) fn take(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn each_panic_of_a_listener_is_told_and_nothing_else_is() {
    let told = Told::default();
    with_default(told.clone(), || {
        let cache = Cache::builder()
            .max_entries(10)
            .reaper(Reaper::Manual)
            .on_removal(telling_of_panics(|_: &str, value: u64, _| {
                assert!(value < 3, "hunter2");
            }))
            .build()
            .unwrap();
        for (key, value) in [("one", 1), ("two", 2), ("three", 3), ("four", 4)] {
            cache.insert(key, value).unwrap();
        }
        cache.discard("one");
        cache.discard("three");
        cache.clear();
        reap_all(&cache);
        assert_eq!(cache.stats().listener_panics, 2);
    });
    let events = told.take();
    assert_eq!(events.len(), 2, "{events:?}");
    for ((level, event), cause) in events.iter().zip(["Removed", "Cleared"]) {
        assert_eq!(*level, Level::ERROR);
        assert!(event.contains(cause) && !event.contains("hunter2"), "{event}");
    }
}

#[test]
fn a_stalled_reader_is_told_of_once_and_once_when_it_is_over() {
    let (told, clock) = (Told::default(), ManualClock::new());
    let cache = Cache::builder().max_entries(10).clock(clock.clone()).reaper(Reaper::Manual);
    let cache = cache.build().unwrap();
    let mut watch = StallWatch::new(Duration::from_secs(5));
    cache.insert("id", 7).unwrap();
    with_default(told.clone(), || {
        cache.read("id", |_| {
            cache.discard("id");
            for _ in 0..3 {
                watch.look(&cache.stats());
                assert!(told.take().is_empty());
                clock.advance(Duration::from_secs(2));
            }
            for _ in 0..3 {
                watch.look(&cache.stats());
            }
        });
        let events = told.take();
        assert!(matches!(&events[..], [(Level::WARN, event)] if event.contains("sessions=1")));
        reap_all(&cache);
        for _ in 0..3 {
            watch.look(&cache.stats());
        }
        assert!(matches!(&told.take()[..], [(Level::INFO, _)]));
    });
}

#[test]
fn overstays_are_told_with_their_places_when_they_begin_double_and_end() {
    let (told, clock) = (Told::default(), ManualClock::new());
    let builder = Cache::builder().max_entries(10).clock(clock.clone()).reaper(Reaper::Manual);
    let cache = builder.track_overstays(Duration::from_secs(60)).build().unwrap();
    let (mut watch, mut forgotten) = (OverstayWatch::default(), Vec::new());
    with_default(told.clone(), || {
        for (key, events) in [1, 1, 0, 1].into_iter().enumerate() {
            cache.insert(key, Tracked::new("hunter2")).unwrap();
            forgotten.push(cache.get(&key));
            let line = line!() - 1;
            cache.discard(&key);
            reap_all(&cache);
            watch.look(&cache.overstays());
            assert!(told.take().is_empty(), "it has only just left");
            clock.advance(Duration::from_secs(60));
            for _ in 0..3 {
                watch.look(&cache.overstays());
            }
            let told = told.take();
            assert_eq!(told.len(), events, "{told:?}");
            for (level, event) in told {
                let sessions = key + 1;
                assert_eq!(level, Level::WARN);
                assert!(event.contains(&format!("sessions={sessions} weight={sessions} ")));
                assert!(event.contains(&format!("{}:{line}:", file!())), "{event}");
                assert!(event.contains(&format!("({sessions})")) && !event.contains("hunter2"));
            }
        }
        forgotten.clear();
        for _ in 0..3 {
            watch.look(&cache.overstays());
        }
        assert!(matches!(&told.take()[..], [(Level::INFO, _)]));
    });
}

#[test]
fn memory_given_back_is_told_of_once_and_so_is_a_failure() {
    let (told, mut watch, mut stats) =
        (Told::default(), GiveBackWatch::default(), Stats::default());
    stats.given_back.count = 5;
    with_default(told.clone(), || {
        for _ in 0..3 {
            watch.look(&stats);
        }
        assert!(told.take().is_empty(), "what was before the first look is old");
        stats.given_back.count = 7;
        stats.given_back.last_bytes = 4_096;
        stats.given_back.last_took = Duration::from_millis(250);
        for _ in 0..3 {
            watch.look(&stats);
        }
        let events = told.take();
        let [(Level::INFO, event)] = &events[..] else { panic!("{events:?}") };
        for field in ["times=2", "took_seconds=0.25", "bytes=4096"] {
            assert!(event.contains(field), "{field}: {event}");
        }
        stats.given_back.failures = 1;
        for _ in 0..3 {
            watch.look(&stats);
        }
        let events = told.take();
        let [(Level::WARN, event)] = &events[..] else { panic!("{events:?}") };
        assert!(event.contains("times=1") && !event.contains("bytes"), "{event}");
    });
}

#[test]
fn each_change_of_pressure_is_told_and_no_session_is() {
    let (told, clock) = (Told::default(), ManualClock::new());
    let cache = Cache::builder().max_entries(100).clock(clock.clone()).reaper(Reaper::Manual);
    let cache = cache
        .on_pressure([0.5], telling_of_pressure(|pressure| assert!(pressure.entries > 50)))
        .build()
        .unwrap();
    with_default(told.clone(), || {
        for key in 0..60 {
            clock.advance(Duration::from_millis(500));
            cache.insert(key, "hunter2").unwrap();
        }
        let events = told.take();
        let [(Level::WARN, rise), (Level::ERROR, panic)] = &events[..] else {
            panic!("{events:?}");
        };
        for field in [
            "cap=Entries",
            "level=0.5",
            "entries=50",
            "weight=50",
            "limit=100",
            "in_per_second=2.0",
        ] {
            assert!(rise.contains(field), "{field}: {rise}");
        }
        assert!(rise.contains("out_per_second=0.0") && rise.contains("seconds_to_full=25.0"));
        assert!(panic.contains("pressure") && !rise.contains("hunter2"));
        cache.clear();
        let events = told.take();
        let [(Level::INFO, fall), (Level::ERROR, _)] = &events[..] else {
            panic!("{events:?}");
        };
        assert!(fall.contains("room again") && !fall.contains("seconds_to_full"), "{fall}");
        assert_eq!(cache.stats().pressure_panics, 2);
    });
}
