//! What a recorder of ours is told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, with_local_recorder};

use super::*;
use crate::cache::Cache;
use crate::cache::tests::reap_all;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;

#[derive(Default)]
struct Told {
    levels: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    totals: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    described: Mutex<Vec<String>>,
}

impl Recorder for Told {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(key.as_str().to_owned());
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.described.lock().unwrap().push(key.as_str().to_owned());
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.totals.lock().unwrap().entry(series(key)).or_default().clone())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.levels.lock().unwrap().entry(series(key)).or_default().clone())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn series(key: &Key) -> String {
    let labels: Vec<String> =
        key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Told {
    fn level(&self, series: &str) -> f64 {
        let levels = self.levels.lock().unwrap();
        let level =
            levels.get(series).unwrap_or_else(|| panic!("{series} is not among {levels:?}"));
        f64::from_bits(level.load(Ordering::SeqCst))
    }

    fn total(&self, series: &str) -> u64 {
        let totals = self.totals.lock().unwrap();
        let total =
            totals.get(series).unwrap_or_else(|| panic!("{series} is not among {totals:?}"));
        total.load(Ordering::SeqCst)
    }

    fn names(&self) -> Vec<String> {
        let (levels, totals) = (self.levels.lock().unwrap(), self.totals.lock().unwrap());
        let all = levels.keys().chain(totals.keys());
        all.map(|series| series.split('{').next().unwrap().to_owned()).collect()
    }
}

fn cache(clock: &ManualClock) -> Cache<&'static str, u64> {
    let builder = Cache::builder().max_entries(3).max_weight(50).weigher(|_, weight| *weight);
    builder.clock(clock.clone()).reaper(Reaper::Manual).build().unwrap()
}

#[test]
fn every_figure_is_published_under_its_name() {
    let (told, clock) = (Told::default(), ManualClock::new());
    let cache = cache(&clock);
    for (key, weight) in [("secret-1", 1), ("secret-2", 2), ("secret-3", 3), ("secret-4", 4)] {
        cache.insert(key, weight).unwrap();
    }
    cache.discard("secret-4");
    cache.get("secret-3");
    cache.get("nobody");
    cache.insert("secret-5", 51).unwrap_err();
    cache.replace("secret-5", 5, crate::lifetime::Lifetime::default()).unwrap_err();
    let lifetime = crate::lifetime::Lifetime::default().live(Duration::from_secs(1));
    cache.insert_for("secret-6", 5, lifetime).unwrap();
    clock.advance(Duration::from_millis(3_500));
    with_local_recorder(&told, || Publisher::new("web").publish(&cache.stats()));
    assert_eq!(told.level("sundown_overdue_sessions{cache=web}"), 1.0);
    reap_all(&cache);
    with_local_recorder(&told, || Publisher::new("web").publish(&cache.stats()));

    assert_eq!(told.level("sundown_sessions{cache=web}"), 2.0);
    assert_eq!(told.level("sundown_weight{cache=web}"), 5.0);
    assert_eq!(told.level("sundown_sessions_limit{cache=web}"), 3.0);
    assert_eq!(told.level("sundown_weight_limit{cache=web}"), 50.0);
    assert_eq!(told.level("sundown_overdue_sessions{cache=web}"), 0.0);
    assert_eq!(told.level("sundown_retired_sessions{cache=web}"), 0.0);
    assert!(told.level("sundown_overhead_bytes{cache=web}") > 1_000.0);
    assert_eq!(told.level("sundown_expiry_lag_max_seconds{cache=web}"), 2.5);
    for quantile in ["0.5", "0.99", "0.999"] {
        let lag =
            told.level(&format!("sundown_expiry_lag_seconds{{cache=web,quantile={quantile}}}"));
        assert_eq!(lag, 2.5);
    }
    assert_eq!(told.total("sundown_created_total{cache=web}"), 5);
    let rejected = [("too_heavy", 1), ("full", 0), ("occupied", 0), ("absent", 1), ("closed", 0)];
    for (reason, count) in rejected {
        let series = format!("sundown_rejected_total{{cache=web,reason={reason}}}");
        assert_eq!(told.total(&series), count, "{reason}");
    }
    assert_eq!(told.total("sundown_hits_total{cache=web}"), 1);
    assert_eq!(told.total("sundown_misses_total{cache=web}"), 1);
    let removed = [("expired", 1), ("evicted", 1), ("removed", 1), ("idle", 0), ("closed", 0)];
    for (cause, count) in removed {
        assert_eq!(told.total(&format!("sundown_removed_total{{cache=web,cause={cause}}}")), count);
    }
    assert_eq!(told.total("sundown_dropped_total{cache=web}"), 3);
}

#[test]
fn overstays_are_published() {
    let (told, mut stats) = (Told::default(), Stats::default());
    with_local_recorder(&told, || Publisher::new("web").publish(&stats));
    assert_eq!(told.level("sundown_overstays{cache=web}"), 0.0);
    stats.overstays.count = 3;
    stats.overstays.weight = 300;
    stats.overstays.oldest = Duration::from_secs(90);
    with_local_recorder(&told, || Publisher::new("web").publish(&stats));
    assert_eq!(told.level("sundown_overstays{cache=web}"), 3.0);
    assert_eq!(told.level("sundown_overstays_weight{cache=web}"), 300.0);
    assert_eq!(told.level("sundown_overstays_oldest_seconds{cache=web}"), 90.0);
}

#[test]
fn what_was_given_back_is_published() {
    let (told, mut stats) = (Told::default(), Stats::default());
    with_local_recorder(&told, || Publisher::new("web").publish(&stats));
    assert_eq!(told.total("sundown_given_back_total{cache=web}"), 0);
    assert_eq!(told.level("sundown_given_back_last_bytes{cache=web}"), 0.0);

    stats.given_back.count = 3;
    stats.given_back.failures = 2;
    stats.given_back.last_took = Duration::from_millis(250);
    stats.given_back.last_bytes = 1 << 30;
    with_local_recorder(&told, || Publisher::new("web").publish(&stats));
    assert_eq!(told.total("sundown_given_back_total{cache=web}"), 3);
    assert_eq!(told.total("sundown_given_back_failures_total{cache=web}"), 2);
    assert_eq!(told.level("sundown_given_back_last_seconds{cache=web}"), 0.25);
    assert_eq!(told.level("sundown_given_back_last_bytes{cache=web}"), f64::from(1 << 30));
}

/// A process in a container with a limit.
fn process() -> ProcessMemory {
    ProcessMemory {
        resident_bytes: Some(600),
        container_bytes: Some(700),
        limit_bytes: Some(1_000),
    }
}

#[test]
fn the_memory_of_the_process_is_published_once_and_not_for_each_cache() {
    let told = Told::default();
    with_local_recorder(&told, || {
        let publishers = [Publisher::new("web"), Publisher::new("api")];
        for publisher in publishers {
            publisher.publish(&Stats::default());
        }
        publish_process(&process());
    });
    assert_eq!(told.level("sundown_process_resident_bytes{}"), 600.0);
    assert_eq!(told.level("sundown_container_memory_bytes{}"), 700.0);
    assert_eq!(told.level("sundown_container_memory_limit_bytes{}"), 1_000.0);
    let about = |name: &String| name.contains("process") || name.contains("container");
    assert_eq!(told.names().iter().filter(|name| about(name)).count(), 3);
}

#[test]
fn what_the_platform_does_not_tell_is_not_published() {
    let told = Told::default();
    with_local_recorder(&told, || {
        publish_process(&ProcessMemory::default());
        assert!(told.names().is_empty(), "{:?}", told.names());
        publish_process(&ProcessMemory { limit_bytes: None, ..process() });
    });
    let published = ["sundown_container_memory_bytes", "sundown_process_resident_bytes"];
    assert_eq!(told.names(), published);
}

#[test]
fn gauges_are_set_again_though_nothing_has_moved() {
    let (told, cache) = (Told::default(), cache(&ManualClock::new()));
    with_local_recorder(&told, || {
        let publisher = Publisher::new("web");
        publisher.publish(&cache.stats());
        told.levels.lock().unwrap().clear(); // as an exporter does that forgets what is idle
        publisher.publish(&cache.stats());
    });
    assert_eq!(told.level("sundown_sessions{cache=web}"), 0.0);
    assert_eq!(told.level("sundown_sessions_limit{cache=web}"), 3.0);
}

#[test]
fn names_follow_the_rules_and_are_described_and_no_label_carries_an_id() {
    let (told, cache) = (Told::default(), cache(&ManualClock::new()));
    cache.insert("secret-1", 1).unwrap();
    with_local_recorder(&told, || {
        Publisher::new("web").publish(&cache.stats());
        publish_process(&process());
    });
    let described = told.described.lock().unwrap();
    for name in told.names() {
        assert!(name.starts_with("sundown_") && described.contains(&name), "{name}");
        let is_total = told.totals.lock().unwrap().keys().any(|key| key.starts_with(&name));
        assert_eq!(name.ends_with("_total"), is_total, "{name}");
    }
    for name in &*described {
        assert!(told.names().contains(name), "{name} is described and never published");
    }
    let levels = format!("{:?} {:?}", told.levels.lock().unwrap(), told.totals.lock().unwrap());
    assert!(!levels.contains("secret"), "{levels}");
}

#[cfg(feature = "fleet")]
#[test]
fn the_figures_of_a_fleets_instance_are_published_each_under_its_name() {
    let told = Told::default();
    let mut stats = crate::fleet::TieredStats::default();
    (stats.l1_hits, stats.l2_loads, stats.bypassed, stats.stale, stats.touches) = (1, 2, 3, 4, 5);
    (stats.invalidations, stats.gaps, stats.conflicts) = (6, 7, 8);
    (stats.timeouts, stats.refused, stats.undecodable) = (9, 10, 11);
    (stats.connected, stats.lag) = (true, Duration::from_millis(250));
    with_local_recorder(&told, || Publisher::new("shop").publish_tier(&stats));
    let levels = ["connected", "refusing", "lag_seconds"];
    let levels = levels.map(|name| told.level(&format!("sundown_tier_{name}{{cache=shop}}")));
    assert_eq!(levels, [1.0, 0.0, 0.25]);
    let totals = [
        "hits",
        "loads",
        "bypassed",
        "stale",
        "touches",
        "invalidations",
        "gaps",
        "conflicts",
        "timeouts",
        "refused",
        "undecodable",
    ];
    let totals = totals.map(|name| told.total(&format!("sundown_tier_{name}_total{{cache=shop}}")));
    assert_eq!(totals, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
}
