//! The checker's own tests: small histories that some order explains, and ones that none does.

use crate::history::model::{Entrance, Limits, Ms, NEVER, Span};
use crate::history::record::{Call, End, History, What};
use crate::history::{accounts, checker};
use sundown::{OnFull, Reason, RemovalCause};

/// Room for all, nobody has a deadline.
const ROOMY: Limits = Limits::PLAIN;
/// Three milliseconds without use.
const IDLE: Limits = Limits { idle_ms: 3, ..ROOMY };
const ONE_PLACE: Limits = Limits { max_entries: Some(1), ..ROOMY };

/// One key's calls, each with its ticks and its times; then the ends.
#[derive(Default)]
struct Story(History);

impl Story {
    fn call(mut self, ticks: (u64, u64), times: (Ms, Ms), what: What) -> Self {
        self.0.times_ms.extend([times.0, times.1]);
        let ((invoked, returned), (from_ms, to_ms)) = (ticks, times);
        self.0.calls.push(Call { key: 0, invoked, returned, from_ms, to_ms, what });
        self
    }

    /// At time 0.
    fn at(self, ticks: (u64, u64), what: What) -> Self {
        self.call(ticks, (0, 0), what)
    }

    fn end(mut self, serial: u32, cause: RemovalCause, told: u64, told_ms: Ms) -> Self {
        self.0.ends.push(End { key: 0, serial, cause, told, told_ms });
        self
    }

    /// The cache is dropped at ticks 900 to 909; the listener is told between.
    fn dropped(mut self, last: Option<u32>, now_ms: Ms) -> History {
        if let Some(serial) = last {
            self = self.end(serial, RemovalCause::Closed, 905, now_ms);
        }
        self = self.call((900, 909), (now_ms, now_ms), What::Bar);
        self = self.call((900, 909), (now_ms, now_ms), What::Close);
        self.0.times_ms.sort_unstable();
        self.0.times_ms.dedup();
        self.0
    }
}

fn insert(serial: u32) -> What {
    let (entrance, span) = (Entrance::Any, Span::default());
    What::Offer { entrance, serial, weight: 1, span, refused: None }
}

fn update(seen: u32, serial: u32) -> What {
    What::Update { serial, weight: 1, seen: Some(seen), result: Ok(true) }
}

fn get(shown: Option<u32>) -> What {
    What::Look { is_use: true, shown }
}

fn peek(shown: Option<u32>) -> What {
    What::Look { is_use: false, shown }
}

#[track_caller]
fn explained(limits: Limits, history: History) {
    checker::check(&history, limits, 1).expect("some order explains it");
}

#[track_caller]
fn unexplained(limits: Limits, history: History) {
    checker::check(&history, limits, 1).expect_err("no order explains it");
}

#[test]
fn a_read_beside_an_insertion_may_come_before_or_after_it() {
    for shown in [None, Some(1)] {
        let story = Story::default().at((1, 4), insert(1)).at((2, 3), get(shown));
        explained(ROOMY, story.dropped(Some(1), 0));
    }
}

#[test]
fn a_read_after_an_insertion_must_show_it() {
    let story = |shown| Story::default().at((1, 2), insert(1)).at((3, 4), get(shown));
    explained(ROOMY, story(Some(1)).dropped(Some(1), 0));
    unexplained(ROOMY, story(None).dropped(Some(1), 0));
}

#[test]
fn a_read_that_shows_the_new_value_lets_no_later_one_show_the_old() {
    let story = |first, second| {
        let story = Story::default().at((1, 2), insert(1)).at((3, 10), insert(2));
        let story = story.at((4, 5), get(Some(first))).at((6, 7), get(Some(second)));
        story.end(1, RemovalCause::Replaced, 20, 0).dropped(Some(2), 0)
    };
    explained(ROOMY, story(1, 1));
    explained(ROOMY, story(1, 2));
    explained(ROOMY, story(2, 2));
    unexplained(ROOMY, story(2, 1));
}

#[test]
fn a_session_is_removed_once() {
    let story = |second| {
        let story = Story::default().at((1, 2), insert(1)).at((3, 6), What::Remove(Some(1)));
        let story = story.at((4, 7), What::Remove(second));
        story.end(1, RemovalCause::Removed, 8, 0).dropped(None, 0)
    };
    explained(ROOMY, story(None));
    unexplained(ROOMY, story(Some(1)));
}

#[test]
fn no_update_is_lost() {
    let story = |seen| {
        let story = Story::default().at((1, 2), insert(1)).at((3, 6), update(1, 2));
        let story = story.at((4, 7), update(seen, 3));
        let story = story.end(1, RemovalCause::Replaced, 8, 0);
        story.end(2, RemovalCause::Replaced, 9, 0).dropped(Some(3), 0)
    };
    explained(ROOMY, story(2));
    unexplained(ROOMY, story(1));
}

#[test]
fn an_update_is_no_use() {
    let story = |shown| {
        let story = Story::default().at((1, 2), insert(1)).call((3, 4), (2, 2), update(1, 2));
        let story = story.call((5, 6), (4, 4), get(shown)).end(1, RemovalCause::Replaced, 7, 2);
        story.end(2, RemovalCause::Idle, 8, 4).dropped(None, 4)
    };
    explained(IDLE, story(None));
    unexplained(IDLE, story(Some(2)));
}

#[test]
fn an_eviction_needs_an_insertion_without_room() {
    let story = || {
        let story = Story::default().at((1, 2), insert(1)).at((3, 6), insert(2));
        let story = story.at((4, 5), get(None));
        story.end(1, RemovalCause::Evicted, 7, 0).dropped(Some(2), 0)
    };
    // While the second is on its way in, it has evicted the first already.
    explained(ONE_PLACE, story());
    unexplained(ROOMY, story());
    let too_late = Story::default().at((1, 2), insert(1)).at((3, 4), get(None));
    let too_late = too_late.at((5, 6), insert(2)).end(1, RemovalCause::Evicted, 7, 0);
    unexplained(ONE_PLACE, too_late.dropped(Some(2), 0));
}

#[test]
fn a_session_expires_at_its_deadline_and_not_before() {
    let story = |now_ms, shown| {
        let story = Story::default().at((1, 2), insert(1));
        let story = story.call((3, 4), (now_ms, now_ms), peek(shown));
        story.end(1, RemovalCause::Idle, 8, 3).dropped(None, 3)
    };
    explained(IDLE, story(2, Some(1)));
    explained(IDLE, story(3, None));
    unexplained(IDLE, story(2, None));
    unexplained(IDLE, story(3, Some(1)));
}

#[test]
fn a_read_that_touched_counts() {
    // Read at 2 it idles until 5; whoever reaped it at 3 had not heard of the read.
    let story = |told_ms| {
        let story = Story::default().at((1, 2), insert(1)).call((3, 4), (2, 2), get(Some(1)));
        story.end(1, RemovalCause::Idle, 8, told_ms).dropped(None, 5)
    };
    explained(IDLE, story(5));
    unexplained(IDLE, story(3));
    // Seen by a read instead of the listener.
    let story = |now_ms, shown| {
        let story = Story::default().at((1, 2), insert(1)).call((3, 4), (2, 2), get(Some(1)));
        let story = story.call((5, 6), (now_ms, now_ms), peek(shown));
        story.end(1, RemovalCause::Idle, 8, 5).dropped(None, 5)
    };
    explained(IDLE, story(4, Some(1)));
    unexplained(IDLE, story(4, None));
}

#[test]
fn a_session_ends_for_the_cause_that_was_told() {
    let story = |cause| {
        let story = Story::default().at((1, 2), insert(1)).at((3, 4), What::Discard(true));
        story.end(1, cause, 5, 0).dropped(None, 0)
    };
    explained(ROOMY, story(RemovalCause::Removed));
    unexplained(ROOMY, story(RemovalCause::Replaced));
}

#[test]
fn nothing_is_shown_once_the_listener_has_been_told() {
    let story = |told| {
        let story = Story::default().at((1, 2), insert(1)).at((3, 9), What::Remove(Some(1)));
        story.at((5, 6), get(Some(1))).end(1, RemovalCause::Removed, told, 0).dropped(None, 0)
    };
    explained(ROOMY, story(7));
    unexplained(ROOMY, story(4));
}

#[test]
fn events_of_a_key_come_in_the_order_of_its_removals() {
    let story = |first, second| {
        let story = Story::default().at((1, 2), insert(1)).at((3, 4), insert(2));
        let story = story.at((5, 6), What::Discard(true));
        let story = story.end(1, RemovalCause::Replaced, first, 0);
        story.end(2, RemovalCause::Removed, second, 0).dropped(None, 0)
    };
    explained(ROOMY, story(7, 8));
    unexplained(ROOMY, story(8, 7));
}

#[test]
fn a_closed_cache_lets_nobody_in() {
    let closed = || Story::default().at((1, 4), What::Bar).at((1, 4), What::Close);
    unexplained(ROOMY, closed().at((5, 6), insert(1)).dropped(Some(1), 0));
    // Beside the closing it may have been in for a moment.
    let beside = closed().at((2, 3), insert(1)).end(1, RemovalCause::Closed, 5, 0);
    explained(ROOMY, beside.dropped(None, 0));
    let refused = What::Offer {
        entrance: Entrance::IfAbsent,
        serial: 1,
        weight: 1,
        span: Span::default(),
        refused: Some(Reason::Closed),
    };
    explained(ROOMY, closed().at((5, 6), refused.clone()).dropped(None, 0));
    unexplained(ROOMY, Story::default().at((5, 6), refused).dropped(None, 0));
}

#[test]
fn a_walk_shows_what_is_in_throughout() {
    let walk = What::Walk { shown: None };
    let story = Story::default().at((1, 2), insert(1)).at((3, 4), walk.clone());
    unexplained(ROOMY, story.dropped(Some(1), 0));
    let replaced = |walks: &[What]| {
        let mut story = Story::default().at((1, 2), insert(1)).at((4, 5), insert(2));
        for walk in walks {
            story = story.at((3, 6), walk.clone());
        }
        story.end(1, RemovalCause::Replaced, 7, 0).dropped(Some(2), 0)
    };
    let shown = |serial, is_doomed| What::Walk { shown: Some((serial, is_doomed)) };
    unexplained(ROOMY, replaced(&[walk]));
    explained(ROOMY, replaced(&[shown(1, false)]));
    explained(ROOMY, replaced(&[shown(2, false)]));
    // It lost the race for the first one, and was shown the other.
    explained(ROOMY, replaced(&[shown(1, true), shown(2, false)]));
    unexplained(ROOMY, replaced(&[shown(3, false)]));
}

#[test]
fn lifetimes_are_what_was_set() {
    let story = |left| {
        let span = Span { live_ms: Some(4), idle_ms: Some(NEVER) };
        let story = Story::default().at((1, 2), insert(1));
        let story = story.call((3, 4), (1, 1), What::SetLifetime { span, is_set: true });
        story.call((5, 6), (2, 2), What::Expiry(left)).dropped(Some(1), 2)
    };
    explained(IDLE, story(Some(3)));
    unexplained(IDLE, story(Some(1)));
    unexplained(IDLE, story(Some(NEVER)));
    unexplained(IDLE, story(None));
}

#[test]
fn the_accounts_want_one_event_for_each_insertion() {
    let none = Story::default().at((1, 2), insert(1)).dropped(None, 0);
    accounts::check(&none, ROOMY).expect_err("it has no event");
    let one = Story::default().at((1, 2), insert(1)).dropped(Some(1), 0);
    accounts::check(&one, ROOMY).expect("it has one");
    let two = Story::default().at((1, 2), insert(1)).end(1, RemovalCause::Evicted, 3, 0);
    accounts::check(&two.dropped(Some(1), 0), ROOMY).expect_err("it has two");
    let alien = Story::default().dropped(Some(1), 0);
    accounts::check(&alien, ROOMY).expect_err("nobody inserted it");
    let unsaid = Story::default().at((1, 2), insert(1)).end(1, RemovalCause::Removed, 3, 0);
    accounts::check(&unsaid.dropped(None, 0), ROOMY).expect_err("nobody removed it");
}

#[test]
fn the_accounts_want_a_reason_for_a_refusal() {
    let refused = What::Offer {
        entrance: Entrance::Any,
        serial: 2,
        weight: 1,
        span: Span::default(),
        refused: Some(Reason::Full),
    };
    let story = || Story::default().at((1, 2), insert(1)).at((3, 4), refused.clone());
    let one_place = Limits { on_full: OnFull::Reject, ..ONE_PLACE };
    accounts::check(&story().dropped(Some(1), 0), one_place).expect("it was full");
    accounts::check(&story().dropped(Some(1), 0), ROOMY).expect_err("there was room");
}
