//! Threads that do not start, and threads that use the cache while they end.

use crate::panics::with_patience;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use sundown::{BuildError, Cache, Reaper};

/// Set in the child, where no thread can be started.
const IN_CHILD: &str = "SUNDOWN_TEST_WITHOUT_THREADS";

/// The standard library takes the stacks' size from the environment, once; no system has this much
/// address space for one stack. A single test thread is the main one, so the child needs none.
#[cfg(target_os = "linux")]
#[test]
fn a_thread_that_does_not_start_is_an_error_and_leaves_nothing_behind() {
    if std::env::var_os(IN_CHILD).is_some() {
        return build_without_threads();
    }
    let name = "threads::a_thread_that_does_not_start_is_an_error_and_leaves_nothing_behind";
    let output = Command::new(std::env::current_exe().expect("a test knows its own program"))
        .args(["--exact", name, "--test-threads=1"])
        .env(IN_CHILD, "1")
        .env("RUST_MIN_STACK", (1_u64 << 60).to_string())
        .output()
        .expect("the program that runs can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

fn build_without_threads() {
    let token = Arc::new(());
    let builder = || {
        let (heard, weighed) = (Arc::clone(&token), Arc::clone(&token));
        Cache::<u32, Arc<()>>::builder()
            .max_weight(10)
            .weigher(move |_, _| Arc::strong_count(&weighed) as u64)
            .on_removal(move |_, _, _| drop(Arc::clone(&heard)))
    };
    let error = builder().build().expect_err("no thread can be started");
    assert!(matches!(error, BuildError::Thread(_)), "{error}");
    assert_eq!(Arc::strong_count(&token), 1, "a cache that was not built is gone");
    let cache = builder().reaper(Reaper::Manual).build().expect("it needs no thread");
    cache.insert(1, Arc::new(())).expect("it fits");
    assert!(cache.discard(&1));
}

type Sessions = Cache<u64, Arc<()>>;

/// Uses the cache when its thread ends and drops it.
struct Visitor {
    cache: Sessions,
    token: Arc<()>,
    visits: Arc<AtomicU64>,
}

impl Visitor {
    fn visit(&self) {
        let cache = &self.cache;
        for key in 0..300 {
            cache.insert(key, Arc::clone(&self.token)).expect("somebody is evicted");
            assert!(cache.get(&key).is_some() && cache.touch(&key));
            assert_eq!(cache.read(&key, |_| cache.contains_key(&key)), Some(true));
            assert!(matches!(cache.update(&key, Arc::clone), Ok(true)));
        }
        assert!(cache.discard(&299), "nobody has come in since");
        // Its room may have gone to the one after it, used in the same millisecond.
        cache.remove(&298);
        cache.retain(|key, _| key % 2 == 0);
        cache.for_each(|_, _| ());
        cache.reap();
        cache.clear();
        cache.audit().expect("the cache is whole");
        self.visits.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        // A panic here would end the process; a visit that fails is not counted.
        let _ = catch_unwind(AssertUnwindSafe(|| self.visit()));
    }
}

thread_local! {
    /// One is made before the cache's own thread-local and one after it, so that whatever the order
    /// in which they are destroyed, one outlives it.
    static EARLY: RefCell<Option<Visitor>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<Visitor>> = const { RefCell::new(None) };
}

#[test]
fn a_thread_may_use_the_cache_while_it_ends() {
    with_patience(|| {
        let (token, visits) = (Arc::new(()), Arc::new(AtomicU64::new(0)));
        for reaper in [Reaper::Manual, Reaper::Thread] {
            let cache = Sessions::builder().max_entries(100).reaper(reaper);
            let cache = cache.build().expect("it builds");
            for _ in 0..20 {
                let visitor = || Visitor {
                    cache: cache.clone(),
                    token: Arc::clone(&token),
                    visits: Arc::clone(&visits),
                };
                let (early, late) = (visitor(), visitor());
                let guest = thread::spawn(move || {
                    EARLY.with(|slot| *slot.borrow_mut() = Some(early));
                    LATE.with(|slot| {
                        late.visit();
                        *slot.borrow_mut() = Some(late);
                    });
                });
                guest.join().expect("it ends");
            }
            cache.audit().expect("the cache is whole");
            drop(cache);
            assert_eq!(Arc::strong_count(&token), 1, "every value is dropped");
        }
        assert_eq!(visits.load(Ordering::SeqCst), 2 * 20 * 3);
    });
}
