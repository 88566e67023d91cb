//! A cap in bytes caps bytes: a store that weighs by itself, full and evicting, takes what its cap says.
//!
//! The tests take turns, for the whole process is measured. What they print of its resident memory is
//! true only of the first one: run each by itself. The caps are small by default; what was measured with
//! 256 MiB is in `tests/README.md`:
//!
//! ```sh
//! for what in baskets logins names; do
//!     SUNDOWN_CAP_MIB=256 cargo test --release --manifest-path tests/weights/Cargo.toml --test caps \
//!         -- --exact tower_sessions::$what --nocapture
//! done
//! ```

mod shared;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{env, fs, thread};

use ::actix_session::storage::SessionStore as _;
use pollster::block_on;
use serde_json::Value;
use shared::sessions::{Data, basket, log_in, name};
use shared::{MOST_OFF_PERCENT, heap, off_percent};
use sundown::actix_session_0_11::SundownActixStore;
use sundown::tower_sessions_0_15::SundownStore;
use sundown::{Cache, Stats};
use time::{Duration, OffsetDateTime};
use tower_sessions_core_0_15::SessionStore as _;
use tower_sessions_core_0_15::session::{Id, Record};

const WRITERS: usize = 8;
/// How many caps are evicted.
const CHURN: u64 = 4;

mod tower_sessions {
    use super::*;

    #[test]
    fn baskets() {
        fill_tower("baskets", basket);
    }

    #[test]
    fn logins() {
        fill_tower("log-in data", log_in);
    }

    #[test]
    fn names() {
        fill_tower("single names", name);
    }
}

mod actix_session {
    use super::*;

    #[test]
    fn baskets() {
        fill_actix("baskets", basket);
    }

    #[test]
    fn logins() {
        fill_actix("log-in data", log_in);
    }

    #[test]
    fn names() {
        fill_actix("single names", name);
    }
}

fn fill_tower(what: &str, data: fn(usize) -> Data) {
    // Before the store, and so given back after it is gone.
    let _alone = alone();
    let cap = cap();
    let store = SundownStore::new(Cache::builder().max_weight(cap)).expect("it builds");
    let save = |n: usize| {
        let expiry_date = OffsetDateTime::now_utc() + Duration::HOUR;
        let mut record = Record { id: Id(n as i128), data: data(n), expiry_date };
        block_on(store.create(&mut record)).expect("there is room");
    };
    fill(&format!("{what}, tower-sessions"), cap, &save, &|| store.cache().stats());
}

fn fill_actix(what: &str, data: fn(usize) -> Data) {
    // Before the store, and so given back after it is gone.
    let _alone = alone();
    let cap = cap();
    let store = SundownActixStore::new(Cache::builder().max_weight(cap)).expect("it builds");
    let save = |n: usize| {
        let written = |(name, value): (String, Value)| (name, value.to_string());
        let state = data(n).into_iter().map(written).collect();
        block_on(store.save(state, &Duration::HOUR)).expect("there is room");
    };
    fill(&format!("{what}, actix-session"), cap, &save, &|| store.cache().stats());
}

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cap() -> u64 {
    let mib: u64 = env::var("SUNDOWN_CAP_MIB").map_or(32, |mib| mib.parse().expect("a number"));
    mib << 20
}

/// Has many threads save sessions until some caps' worth has been evicted, and looks at what is
/// allocated when the cache is full and quiet, and at the height.
fn fill(what: &str, cap: u64, save: &(dyn Fn(usize) + Sync), stats: &(dyn Fn() -> Stats + Sync)) {
    let before = heap::allocated();
    heap::most_allocated();
    let next = AtomicUsize::new(0);
    let (most_resident, most_retired) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n % 1_024 == 0 {
                        most_resident.fetch_max(resident_bytes(), Ordering::Relaxed);
                        let stats = stats();
                        most_retired.fetch_max(stats.retired.weight, Ordering::Relaxed);
                        assert!(stats.weight <= cap, "{} over {cap}", stats.weight);
                        if stats.evicted > CHURN * stats.entries as u64 {
                            return;
                        }
                    }
                    save(n);
                }
            });
        }
    });
    let most = heap::most_allocated() - before;
    // What was evicted last awaits its destruction.
    while stats().retired.count > 0 {
        thread::sleep(std::time::Duration::from_millis(10));
    }
    let stats = stats();
    let allocated = heap::allocated() - before;
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!(
        "{what:27} {:>7} sessions, {:>8} evicted, MiB: weight {:.1}, allocated {:.1}, at the height \
         {:.1}, retired up to {:.1}, resident {:.1}",
        stats.entries,
        stats.evicted,
        mib(stats.weight as f64),
        mib(allocated as f64),
        mib(most as f64),
        mib(most_retired.into_inner() as f64),
        mib(most_resident.into_inner() as f64),
    );
    let off = off_percent(stats.weight, allocated as u64);
    assert!(off.abs() <= MOST_OFF_PERCENT, "{what}: off {off:.1} %: {stats:?}");
}

/// What the process has of the machine's memory.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib << 10
}
