//! The outage of a service whose new feature tracked its users: who forgot to let go of the sessions?
//!
//! `cargo run --release --example overstay`: a day of log-ins, in no time. The store frees every
//! session on time, and the memory grows all the same, for the feature keeps a handle of each. What the
//! store tells names the feature's line.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use sundown::{Cache, ManualClock, Reaper, Tracked};

const MINUTE: Duration = Duration::from_secs(60);
const LOG_INS_A_MINUTE: u64 = 10;

struct Session {
    user: u64,
    _basket: [u8; 1_024],
}

type Sessions = Cache<u64, Tracked<Session>>;

/// The feature: which page each user was on last.
#[derive(Default)]
struct PageTracker {
    last: HashMap<u64, (Tracked<Session>, &'static str)>,
}

impl PageTracker {
    fn note(&mut self, session: &Tracked<Session>, page: &'static str) {
        self.last.insert(session.user, (session.clone(), page)); // kept for ever
    }

    const NOTED_AT: u32 = line!() - 3;
}

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::new();
    let sessions: Sessions = Cache::builder()
        .max_entries(100_000)
        .time_to_idle(30 * MINUTE)
        .clock(clock.clone())
        .reaper(Reaper::Manual)
        .track_overstays(MINUTE)
        .build()?;
    let mut tracker = PageTracker::default();
    for minute in 0..24 * 60 {
        for user in minute * LOG_INS_A_MINUTE..(minute + 1) * LOG_INS_A_MINUTE {
            sessions.insert(user, Tracked::new(Session { user, _basket: [0; 1_024] }))?;
            if let Some(session) = sessions.get(&user) {
                tracker.note(&session, "/checkout");
            }
        }
        clock.advance(MINUTE);
        sessions.reap();
    }
    let overstays = sessions.overstays();
    println!("{} sessions in the store, and {overstays}", sessions.len());
    let culprit = overstays.holders.first().ok_or("nobody holds anything")?;
    assert_eq!((culprit.site.file(), culprit.site.line()), (file!(), PageTracker::NOTED_AT));
    assert!(sessions.len() <= 300 && overstays.count > 14_000, "the store has let go of them");

    tracker.last.clear();
    assert_eq!(sessions.overstays().count, 0, "and now the feature has");
    println!("without the feature: {} sessions held", sessions.overstays().count);
    Ok(())
}
