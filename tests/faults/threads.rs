//! A reaper whose thread does not start.

use std::process::Command;
use std::sync::Arc;
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
