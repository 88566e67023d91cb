//! What calls have come to, and what that must not be.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use sundown::fleet::Key;

/// A call by one instance, from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Event {
    pub instance: usize,
    pub key: Key,
    pub from: Instant,
    pub to: Instant,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Created {
        principal: usize,
        live: Option<Duration>,
    },
    CreateFailed {
        principal: usize,
    },
    /// The names that it had; none if it was not live.
    Loaded(Option<HashSet<String>>),
    Saved(String),
    SaveFailed,
    SavedNothing,
    Deleted,
    DeleteFailed,
    /// Of a principal; the key is any.
    Revoked {
        principal: usize,
    },
    RevokeFailed {
        principal: usize,
    },
    /// The server has lost all that it had; the key is any.
    Wiped,
}

/// How long an instance may serve what others have changed.
#[derive(Clone, Copy)]
pub struct Allowed {
    pub staleness: Duration,
}

#[derive(Default)]
struct Life<'e> {
    created: Option<(&'e Event, usize, Option<Duration>)>,
    attempted: Option<(&'e Event, usize)>,
    own: Vec<&'e Event>,
}

/// Panics if a promise was broken; gives how many loads were judged.
pub fn judge(events: &[Event], allowed: Allowed) -> usize {
    let mut lives: HashMap<Key, Life<'_>> = HashMap::new();
    let mut ends = Vec::new();
    for event in events {
        let life = lives.entry(event.key).or_default();
        match &event.what {
            What::Created { principal, live } => life.created = Some((event, *principal, *live)),
            What::CreateFailed { principal } => life.attempted = Some((event, *principal)),
            What::Revoked { .. } | What::RevokeFailed { .. } | What::Wiped => ends.push(event),
            _ => life.own.push(event),
        }
    }
    let mut judged = 0;
    for (key, life) in &lives {
        let begun = life.created.map(|(event, principal, _)| (event, principal));
        let Some((begun, principal)) = begun.or(life.attempted) else { continue };
        let deaths = deaths_of(life, &ends, begun, principal);
        for event in &life.own {
            judged += 1;
            judge_end(event, &deaths, allowed, life, key);
            judge_life(event, life, &ends, principal, allowed, key);
        }
    }
    judged
}

/// When a session has certainly ended, and through which instance.
fn deaths_of(
    life: &Life<'_>,
    ends: &[&Event],
    begun: &Event,
    principal: usize,
) -> Vec<(Instant, Option<usize>)> {
    let own = life.own.iter().filter(|event| matches!(event.what, What::Deleted));
    let mut deaths: Vec<_> = own.map(|event| (event.to, Some(event.instance))).collect();
    // After a wipe a creation that was given up may still arrive, for its tombstone is gone.
    if life.created.is_none() && ends.iter().any(|event| matches!(event.what, What::Wiped)) {
        deaths.clear();
    }
    for event in ends {
        let is_later = begun.to < event.from && life.created.is_some();
        match event.what {
            What::Revoked { principal: of } if of == principal && is_later => {
                deaths.push((event.to, Some(event.instance)));
            }
            What::Wiped if is_later => deaths.push((event.to, None)),
            _ => {}
        }
    }
    if let Some((event, _, Some(live))) = life.created {
        deaths.push((event.to + live, Some(event.instance)));
    }
    deaths
}

/// T1, T5: nothing comes back.
fn judge_end(
    event: &Event,
    deaths: &[(Instant, Option<usize>)],
    allowed: Allowed,
    life: &Life<'_>,
    key: &Key,
) {
    for &(at, by) in deaths {
        let grace = if by == Some(event.instance) { Duration::ZERO } else { allowed.staleness };
        let late = event.from.saturating_duration_since(at);
        match &event.what {
            What::Loaded(Some(_)) if event.from > at + grace => {
                panic!("ZOMBIE {key:?}: {late:?} after its end: {event:?}\n{}", told(life));
            }
            What::Saved(_) if event.from > at => {
                panic!("BROUGHT BACK {key:?}: {late:?} after its end: {event:?}\n{}", told(life));
            }
            _ => {}
        }
    }
}

/// T2, T3, T4: nothing that was acknowledged is missing.
fn judge_life(
    event: &Event,
    life: &Life<'_>,
    ends: &[&Event],
    principal: usize,
    allowed: Allowed,
    key: &Key,
) {
    let Some((created, _, live)) = life.created else { return };
    let is_end = |event: &&Event| match event.what {
        What::Deleted | What::DeleteFailed | What::Wiped => true,
        What::Revoked { principal: of } | What::RevokeFailed { principal: of } => of == principal,
        _ => false,
    };
    let may_have_ended = life.own.iter().chain(ends).filter(|event| is_end(event));
    // A revocation that was given up may come until it is refused as late.
    let lasts = |end: &Event| match end.what {
        What::RevokeFailed { .. } => end.to + LATEST_ARRIVAL,
        _ => end.to,
    };
    let mut may_have_ended =
        may_have_ended.filter(|end| end.from <= event.to && lasts(end) > created.from);
    let has_expired = live.is_some_and(|live| event.to + SLACK >= created.from + live);
    match &event.what {
        What::Loaded(None) | What::SavedNothing if event.from > created.to => {
            let is_excused = has_expired || may_have_ended.next().is_some();
            assert!(is_excused, "LOST {key:?}: {event:?}\n{}", told(life));
        }
        What::Loaded(Some(names)) => {
            for save in &life.own {
                let What::Saved(name) = &save.what else { continue };
                let is_own = save.instance == event.instance;
                let grace = if is_own { Duration::ZERO } else { allowed.staleness };
                if event.from > save.to + grace {
                    let late = event.from.saturating_duration_since(save.to);
                    let is_seen = names.contains(name);
                    assert!(
                        is_seen,
                        "STALE {key:?}: {late:?} after {save:?}: {event:?}\n{}",
                        told(life)
                    );
                }
            }
        }
        _ => {}
    }
}

fn told(life: &Life<'_>) -> String {
    let begun = life.created.map(|(event, ..)| event).or(life.attempted.map(|(event, _)| event));
    let mut events: Vec<_> = life.own.iter().copied().chain(begun).collect();
    events.sort_by_key(|event| event.from);
    events.iter().map(|event| format!("  {event:?}\n")).collect()
}

/// As the tests' options have it.
const LATEST_ARRIVAL: Duration = Duration::from_millis(600);

/// What a deadline may come early by: milliseconds are cut off, and a share of the way.
const SLACK: Duration = Duration::from_millis(20);
