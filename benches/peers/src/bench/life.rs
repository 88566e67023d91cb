//! Whole lives of sessions: created, used ten times while others are, and logged out or expired.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Common, Contestant, peers_of, rate_rows};
use crate::measure::{interleave, throughput};
use crate::peers::{AnyStore, Expiry, Peer, Settings};
use crate::report::Journal;
use crate::workload::Key;

/// How a session ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    LogOut,
    Expiry,
}

pub(super) fn run(common: &Common, journal: &mut Journal) -> io::Result<()> {
    for (end, name) in [(End::LogOut, "log out"), (End::Expiry, "expire")] {
        let able: Vec<Peer> = Peer::CACHES_AND_MAPS
            .into_iter()
            .filter(|peer| end == End::LogOut || peer.expiry() != Expiry::None)
            .collect();
        let time_to_live = match end {
            End::LogOut => Duration::from_secs(8 * 3_600),
            End::Expiry => LIFETIME,
        };
        let settings = Settings {
            time_to_live: Some(time_to_live),
            ..Settings::service(common.pick(100_000, 1_000_000))
        };
        let contestants: Vec<_> =
            common.peers(&able).into_iter().map(|peer| Contestant::new(peer, &settings)).collect();
        if contestants.is_empty() {
            continue;
        }
        for threads in common.threads(&[1, 2, 4]) {
            let rates = interleave(&contestants, common.rounds(7), |contestant| {
                throughput(threads, common.time(), &contestant.progress, |_, batch| {
                    (LIVES, live(&contestant.store, batch * LIVES, end) / TOUCHES)
                })
            });
            let case = [("end", name.to_owned()), ("threads", threads.to_string())];
            let mut rows = rate_rows("life", &case, peers_of(&contestants), &rates, true);
            for figure in rows.iter_mut().filter_map(|row| row.figures.first_mut()) {
                figure.name = String::from("M lives/s");
            }
            journal.record(rows)?;
        }
    }
    Ok(())
}

/// Runs through the lives of some sessions, many at a time; tells how many touches found theirs.
fn live(store: &AnyStore<u128, Arc<[u8; 64]>>, first: usize, end: End) -> usize {
    let mut hits = 0;
    for step in 0..LIVES + AT_ONCE {
        if step < LIVES {
            store.insert(Key::nth(first + step), Arc::new([0; 64]));
        }
        for touch in 1..=TOUCHES {
            let age = touch * AT_ONCE / TOUCHES - 1;
            if let Some(session) = step.checked_sub(age).filter(|&session| session < LIVES) {
                hits += usize::from(store.get(&Key::nth(first + session)).is_some());
            }
        }
        if let (End::LogOut, Some(session)) = (end, step.checked_sub(AT_ONCE)) {
            store.remove(&Key::nth(first + session));
        }
    }
    hits
}

const TOUCHES: usize = 10;
/// The lives of a batch.
const LIVES: usize = 4_096;
/// How many sessions of a batch live at once.
const AT_ONCE: usize = 1_000;
/// Long enough for ten touches of a batch on a busy machine, short enough to come soon.
const LIFETIME: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_is_touched_ten_times_and_logged_out() {
        let store = Peer::Sundown.build(&Settings::service(100_000));
        assert_eq!(live(&store, 0, End::LogOut), TOUCHES * LIVES);
        assert!((0..LIVES).all(|n| store.get(&Key::nth(n)).is_none()));
        assert_eq!(live(&store, 0, End::Expiry), TOUCHES * LIVES);
        assert!((0..LIVES).all(|n| store.get(&Key::nth(n)).is_some()));
    }
}
