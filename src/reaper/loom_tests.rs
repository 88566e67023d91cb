//! Models of the alarm: nobody's deadline is slept through.

use loom::thread;

use super::*;
use crate::platform::clock::ManualClock;

/// What stands for a shard: whether something was filed that is due at once.
type Filed = Mutex<bool>;

/// The reaper's loop, as `Core::reaper_pass` and `spawn` have it.
fn reap(alarm: &Alarm, shard: &Filed, clock: &Clock) -> bool {
    *alarm.sleeper.lock() = Some(thread::current());
    while !alarm.is_stopped() {
        alarm.disarm();
        let is_filed = *shard.lock();
        alarm.lower(if is_filed { 0 } else { NEVER_NS });
        if is_filed {
            return true;
        }
        alarm.sleep(clock);
    }
    false
}

#[test]
fn loom_deadline_filed_while_the_reaper_parks_is_not_slept_through() {
    loom::model(|| {
        let alarm = Arc::new(Alarm::new());
        let shard = Arc::new(Filed::new(false));
        let reaper = {
            let (alarm, shard) = (alarm.clone(), shard.clone());
            thread::spawn(move || reap(&alarm, &shard, &Clock::from(ManualClock::new())))
        };
        *shard.lock() = true;
        alarm.ring_by(0);
        // A lost wake-up is a deadlock, which loom reports.
        assert!(reaper.join().expect("the reaper does not panic"));
    });
}

#[test]
fn loom_stop_ends_a_reaper_that_parks() {
    loom::model(|| {
        let alarm = Arc::new(Alarm::new());
        let shard = Arc::new(Filed::new(false));
        let reaper = {
            let (alarm, shard) = (alarm.clone(), shard.clone());
            thread::spawn(move || reap(&alarm, &shard, &Clock::from(ManualClock::new())))
        };
        alarm.stop();
        assert!(!reaper.join().expect("the reaper does not panic"));
    });
}
