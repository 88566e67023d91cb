//! A panic in the n-th call at each place, for every n until none is reached.

use crate::rig::{Fault, PATIENCE, Place};
use crate::script::{Turn, turns};
use crate::stage::{Setting, Shown, Stage};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;
use sundown::{OnFull, Reaper};

const PLAIN: Setting = Setting {
    on_full: OnFull::Evict,
    has_listener: false,
    shards: 1,
    reaper: Reaper::Manual,
    hashes: 5,
    is_closed: false,
};

const SETTINGS: [Setting; 5] = [
    PLAIN,
    Setting { on_full: OnFull::Reject, has_listener: true, is_closed: true, ..PLAIN },
    Setting { has_listener: true, shards: 4, ..PLAIN },
    Setting { on_full: OnFull::Reject, shards: 4, hashes: 0, is_closed: true, ..PLAIN },
    Setting { has_listener: true, reaper: Reaper::Thread, is_closed: true, ..PLAIN },
];

/// Runs the test on a thread of its own: code that is called under a lock would wait for ever.
pub(crate) fn with_patience(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let runner = thread::spawn(move || {
        test();
        done.send(()).expect("somebody waits");
    });
    match is_done.recv_timeout(10 * PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs: user code runs under a lock"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {}
    }
    if let Err(payload) = runner.join() {
        std::panic::resume_unwind(payload);
    }
}

/// What shows after each turn if nothing panics.
fn expected(setting: Setting, turns: &[Turn]) -> Vec<Shown> {
    let stage = Stage::new(setting);
    let shown = |turn: &Turn| {
        stage.advance(1);
        (turn.call)(&stage);
        stage.shown()
    };
    turns.iter().map(shown).collect()
}

/// One run of the script with one fault in it.
struct Run<'t> {
    stage: Stage,
    expected: &'t [Shown],
    /// Panics that came out of calls.
    told: u64,
}

impl Run<'_> {
    /// Either by the call that it came out of, or by a counter.
    fn each_panic_is_told_once(&self) {
        let start = Instant::now();
        loop {
            let (planted, contained) = (self.stage.rig.planted(), self.stage.contained());
            if planted == self.told + contained {
                return;
            }
            // The reaper's thread counts a panic a moment after it was planted.
            let may_be_late = self.stage.setting.reaper == Reaper::Thread;
            let is_patient = may_be_late && start.elapsed() < PATIENCE;
            let told = self.told;
            assert!(is_patient, "{planted} panics, {told} told, {contained} contained");
        }
    }

    fn take(&mut self, number: usize, turn: &Turn, fault: Option<Place>) {
        let stage = &self.stage;
        stage.advance(1);
        let (before, evicted) = stage.in_peace(|| (stage.shown(), stage.cache.stats().evicted));
        let outcome = catch_unwind(AssertUnwindSafe(|| (turn.call)(stage)));
        self.told += u64::from(outcome.is_err());
        let after = stage.in_peace(|| {
            stage.check();
            stage.shown()
        });
        self.each_panic_is_told_once();
        let Some(place) = fault else { return };
        if matches!(place, Place::Listener | Place::Pressure) {
            assert!(outcome.is_ok(), "a panic of who is told something leaves no call");
        }
        if outcome.is_err() && !turn.is_nested && changes_nothing(place) {
            if stage.cache.stats().evicted == evicted {
                assert_eq!(after, before, "nothing has changed but what had run out");
            }
            assert!(after.iter().all(|(number, session)| before.get(number) == Some(session)));
        }
        if self.told == 0 {
            assert_eq!(after, self.expected[number], "a panic that was contained has no effect");
        }
    }
}

/// Whether a panic there comes before the call has done anything, as documented.
fn changes_nothing(place: Place) -> bool {
    use Place::{Borrow, BuildHasher, CloneKey, Eq, Hash, RemoveIf, Update, Weigher};
    [BuildHasher, Hash, Eq, Borrow, CloneKey, Weigher, Update, RemoveIf].contains(&place)
}

/// Plants a panic in the n-th call at a place; says whether so many calls were made.
fn is_reached(setting: Setting, turns: &[Turn], expected: &[Shown], place: Place, n: u64) -> bool {
    let mut run = Run { stage: Stage::new(setting), expected, told: 0 };
    run.stage.rig.set(Fault::Once(place, n));
    for (number, turn) in turns.iter().enumerate() {
        let taken = catch_unwind(AssertUnwindSafe(|| run.take(number, turn, Some(place))));
        if let Err(payload) = taken {
            eprintln!("call {n} of {place:?} panicked, by {setting:?}; this came of {}", turn.name);
            std::panic::resume_unwind(payload);
        }
    }
    let rig = run.stage.rig.clone();
    run.stage.in_peace(|| run.stage.goes_on_working());
    run.stage.end();
    rig.planted() > 0
}

#[test]
fn a_panic_at_any_call_of_user_code_leaves_the_cache_whole() {
    with_patience(|| {
        let turns = turns();
        for setting in SETTINGS {
            let expected = expected(setting, &turns);
            for place in Place::ALL {
                let reached =
                    (1..).take_while(|&n| is_reached(setting, &turns, &expected, place, n)).count();
                let is_absent = place == Place::Listener && !setting.has_listener;
                assert_eq!(reached == 0, is_absent, "{place:?} was called {reached} times");
                println!("{place:?} panicked at each of {reached} calls, by {setting:?}");
            }
        }
    });
}

/// Every n-th call of all panics, so that one panic meets the next.
#[test]
fn panics_again_and_again_leave_the_cache_whole() {
    with_patience(|| {
        let turns = turns();
        for setting in SETTINGS {
            for n in 2..=50 {
                let mut run = Run { stage: Stage::new(setting), expected: &[], told: 0 };
                run.stage.rig.set(Fault::Every(n));
                for (number, turn) in turns.iter().enumerate() {
                    run.take(number, turn, None);
                }
                // Most calls of a run count, but not those that a slow reaper makes while it is
                // checked.
                let planted = run.stage.rig.planted();
                assert!(planted >= 50 / n, "{planted} of every {n}th");
                run.stage.in_peace(|| run.stage.goes_on_working());
                run.stage.end();
            }
        }
    });
}

/// The listener, the weigher and the hasher are the user's, too: their destructors may panic when
/// the cache goes. The sessions are gone by then.
#[test]
fn a_panic_when_the_listener_itself_is_dropped_reaches_whoever_drops_the_cache() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("planted"));
        }
    }
    let (bomb, token) = (Bomb, std::sync::Arc::new(()));
    let cache = sundown::Cache::<u32, std::sync::Arc<()>>::builder()
        .max_entries(10)
        .reaper(Reaper::Manual)
        .on_removal(move |_, _, _| {
            let _ = &bomb;
        })
        .build()
        .expect("it builds");
    for key in 0..10 {
        cache.insert(key, token.clone()).expect("it fits");
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(cache))).is_err());
    assert_eq!(std::sync::Arc::strong_count(&token), 1);
}
