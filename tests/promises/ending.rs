//! G5: what the drop of the last handle leaves behind, wherever that happens. Nothing.

use crate::witness::{Register, Watched, alone, eventually, scaled};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use sundown::{Cache, WeakCache};

/// moka 125, 169, 176, 383 to 385 and 539; otter 116; ccache 74; erigon 23848.
#[test]
fn dropped_caches_leave_no_value_and_no_thread() {
    let _alone = alone();
    let register = Register::default();
    for round in 0..20 {
        let cache = Cache::builder()
            .max_entries(100_000)
            .time_to_live(Duration::from_secs(3_600))
            .build()
            .expect("it builds");
        for key in 0..scaled(50_000) {
            cache.insert(key, register.value()).expect("it fits");
        }
        if round % 2 == 0 {
            cache.retain(|key, _| key % 3 > 0);
            cache.read(&1, |_| ());
        }
        drop(cache);
        assert_eq!(register.alive(), 0, "the drop of the last handle runs every destructor");
    }
    #[cfg(target_os = "linux")]
    eventually("the reapers are gone", || crate::witness::kernel::reapers().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_manual_cache_has_no_thread() {
    use crate::witness::kernel;
    let _alone = alone();
    eventually("the reapers of other tests are gone", || kernel::reapers().is_empty());
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(10)
        .reaper(sundown::Reaper::Manual)
        .build()
        .expect("it builds");
    cache.insert(1, 1).expect("it fits");
    // A thread gives itself its name, some time after it was started.
    for _ in 0..20 {
        assert!(kernel::reapers().is_empty());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_last_handle_may_be_dropped_by_any_of_many_threads() {
    let _alone = alone();
    let register = Register::default();
    for _ in 0..50 {
        let cache = Cache::builder().max_entries(1_000).build().expect("it builds");
        thread::scope(|scope| {
            for seed in 0..4 {
                let (cache, register) = (cache.clone(), &register);
                scope.spawn(move || {
                    for key in 0..100 {
                        cache.insert(seed * 50 + key, register.value()).expect("it fits");
                        cache.discard(&(key * 2));
                    }
                });
            }
            drop(cache);
        });
        assert_eq!(register.alive(), 0);
    }
}

/// Takes the last handle with it into its own destruction, and tells when it came out of there.
struct Owner {
    handle: Mutex<Option<Cache<u64, Owner>>>,
    is_out: Arc<AtomicBool>,
    _watched: Watched,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            drop(handle);
            self.is_out.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn the_last_handle_may_be_dropped_by_a_values_destructor() {
    let _alone = alone();
    let (register, is_out) = (Register::default(), Arc::new(AtomicBool::new(false)));
    let cache: Cache<u64, Owner> = Cache::builder()
        .max_entries(1_000)
        .time_to_live(Duration::from_millis(100))
        .build()
        .expect("it builds");
    let weak = cache.downgrade();
    for key in 0..500 {
        let handle = (key == 250).then(|| cache.clone());
        let (handle, is_out) = (Mutex::new(handle), Arc::clone(&is_out));
        let value = Owner { handle, is_out, _watched: register.value() };
        assert!(cache.insert(key, value).is_ok());
    }
    drop(cache);
    eventually("every session expires and is freed", || register.alive() == 0);
    assert!(is_out.load(Ordering::SeqCst), "the destructor panicked");
    eventually("the cache is gone", || weak.upgrade().is_none());
    #[cfg(target_os = "linux")]
    eventually("the reaper is gone", || crate::witness::kernel::reapers().is_empty());
}

#[test]
fn the_last_handle_may_be_dropped_by_the_listener() {
    let _alone = alone();
    let (register, heard) = (Register::default(), Arc::new(AtomicU64::new(0)));
    let slot: Arc<Mutex<Option<Cache<u64, Watched>>>> = Arc::default();
    let (taken, counted) = (Arc::clone(&slot), Arc::clone(&heard));
    let inside = Arc::new(AtomicI64::new(0));
    let within = Arc::clone(&inside);
    let cache = Cache::builder()
        .max_entries(1_000)
        .on_removal(move |_, value, _| {
            within.fetch_add(1, Ordering::SeqCst);
            drop(value);
            counted.fetch_add(1, Ordering::SeqCst);
            let handle = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(handle);
            within.fetch_sub(1, Ordering::SeqCst);
        })
        .build()
        .expect("it builds");
    for key in 0..500 {
        cache.insert(key, register.value()).expect("it fits");
    }
    let weak: WeakCache<u64, Watched> = cache.downgrade();
    assert!(cache.discard(&1));
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(cache);
    // The event may have come before the handle lay there: then another one takes it.
    if let Some(cache) = weak.upgrade() {
        cache.discard(&2);
        // Whoever is last, here or in the listener, must free all.
    }
    eventually("all values are dropped", || register.alive() == 0);
    eventually("all events are heard", || heard.load(Ordering::SeqCst) == 500);
    eventually("the listener came out of each", || inside.load(Ordering::SeqCst) == 0);
    assert!(weak.upgrade().is_none());
    #[cfg(target_os = "linux")]
    eventually("the reaper is gone", || crate::witness::kernel::reapers().is_empty());
}

#[test]
fn the_last_handle_may_be_dropped_while_the_listener_is_slow() {
    let _alone = alone();
    let (heard, is_slow) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, slow) = (Arc::clone(&heard), Arc::clone(&is_slow));
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(100)
        .on_removal(move |key, _, _| {
            if key == 1 {
                slow.store(true, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(300));
            }
            counted.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .expect("it builds");
    for key in 0..50 {
        cache.insert(key, key).expect("it fits");
    }
    cache.discard(&1);
    eventually("the reaper is inside the listener", || is_slow.load(Ordering::SeqCst));
    drop(cache);
    assert_eq!(heard.load(Ordering::SeqCst), 50, "it waits until every event has been heard");
}

#[test]
fn closing_a_busy_cache_frees_everything_and_stays_closed() {
    let _alone = alone();
    let register = Register::default();
    let cache = Cache::builder().max_entries(10_000).build().expect("it builds");
    thread::scope(|scope| {
        for seed in 0..3_u64 {
            let (cache, register) = (&cache, &register);
            scope.spawn(move || {
                for key in 0.. {
                    if cache.insert(seed * 7 + key % 5_000, register.value()).is_err() {
                        break;
                    }
                    cache.read(&(key % 4_000), |_| ());
                }
            });
        }
        thread::sleep(Duration::from_millis(100));
        cache.close();
    });
    assert_eq!(cache.len(), 0);
    eventually("every value is freed", || register.alive() == 0);
    let stats = cache.stats();
    assert_eq!(stats.inserted, stats.dropped);
    cache.audit().expect("the cache is whole");
}
