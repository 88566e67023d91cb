//! Who is found to leave first, and at what price.

use super::tests::{GRAIN_NS, Token, check, token};
use super::*;

#[test]
fn session_shown_again_goes_before_all_that_were_used_later() {
    let mut ledger = Ledger::new(GRAIN_NS, true);
    let ids: Vec<_> = [5, 7, 7]
        .into_iter()
        .map(|used_ms| ledger.insert(token(0, NEVER_NS, used_ms), NEVER_NS, used_ms).0)
        .collect();
    let coldest = |ledger: &mut Ledger<Token>| ledger.coldest(&mut 8, |token| token.used_ms.get());
    ledger.hide_from_eviction(ids[0]);
    assert_eq!(coldest(&mut ledger), Coldest::Found(ids[1], 7));
    ledger.remove(ids[1]);
    ledger.show_to_eviction(ids[0], |token| token.used_ms.get());
    check(&ledger);
    assert_eq!(coldest(&mut ledger), Coldest::Found(ids[0], 5));
}

#[test]
fn search_cut_short_names_the_first_of_the_coldest_that_it_saw() {
    let mut ledger = Ledger::new(GRAIN_NS, true);
    // All four are filed under 1, and were used since.
    for (name, used_ms) in [(0, 900), (1, 300), (2, 300), (3, 200)] {
        ledger.insert(token(name, NEVER_NS, used_ms), NEVER_NS, 1);
    }
    let mut bite = 3;
    let coldest = ledger.coldest(&mut bite, |token| token.used_ms.get());
    let Coldest::Unsettled(id, 300) = coldest else { panic!("{coldest:?}") };
    assert_eq!((ledger.get(id).name, bite), (1, 0));
    check(&ledger);
}

/// Sessions used a millisecond apart, over slots that are 32 and 1,024 milliseconds wide.
#[test]
fn no_eviction_refiles_a_whole_slot() {
    let mut ledger = Ledger::new(GRAIN_NS, true);
    for name in 0..20_000 {
        let used_ms = 100_000 + u64::from(name);
        ledger.insert(token(name, NEVER_NS, used_ms), NEVER_NS, used_ms);
    }
    let find = |ledger: &mut Ledger<Token>| {
        let mut bite = usize::MAX;
        match ledger.coldest(&mut bite, |token| token.used_ms.get()) {
            Coldest::Found(id, used_ms) => (id, used_ms, usize::MAX - bite),
            other => panic!("{other:?}"),
        }
    };
    let mut most = 0;
    for expected_ms in 100_000..120_000 {
        let (id, used_ms, looks) = find(&mut ledger);
        assert_eq!(used_ms, expected_ms);
        ledger.remove(id);
        most = most.max(looks);
    }
    assert_eq!(ledger.len(), 0);
    assert!(most <= 32, "an eviction examined {most} records");
}

#[test]
fn several_shown_again_leave_in_the_order_of_their_last_uses() {
    let mut ledger = Ledger::new(GRAIN_NS, true);
    let ids: Vec<_> = [4, 5, 5, 7, 7]
        .into_iter()
        .map(|used_ms| ledger.insert(token(0, NEVER_NS, used_ms), NEVER_NS, used_ms).0)
        .collect();
    let evict = |ledger: &mut Ledger<Token>| {
        let found = ledger.coldest(&mut 8, |token| token.used_ms.get());
        let Coldest::Found(id, _) = found else { panic!("{found:?}") };
        ledger.remove(id);
        id
    };
    ids[..3].iter().for_each(|&id| ledger.hide_from_eviction(id));
    assert_eq!(evict(&mut ledger), ids[3]);
    for place in [1, 0, 2] {
        ledger.show_to_eviction(ids[place], |token| token.used_ms.get());
    }
    check(&ledger);
    let order: Vec<_> = (0..4).map(|_| evict(&mut ledger)).collect();
    // Of those used in the same millisecond, the one that was shown first.
    assert_eq!(order, [ids[0], ids[1], ids[2], ids[4]]);
}
