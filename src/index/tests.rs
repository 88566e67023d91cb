//! The index against a plain map, under churn, growth and shrinkage.

use super::*;
use crate::index::chunk::LANES;
use crate::index::history::{self, Word};
use crate::lifetime::Spans;
use crate::platform::clock::{MILLI_NS, NEVER_NS};
use crate::platform::sync::pin;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use std::collections::HashMap;

const FOREVER: Spans = Spans { live_ns: NEVER_NS, idle_ns: NEVER_NS };

struct Fixture {
    index: Index<u32, u32>,
    writer: Writer,
    linked: HashMap<u32, Linked<u32, u32>>,
}

/// A hash that crowds keys into few chunks and few tags.
fn crowded(key: u32) -> u32 {
    (key % 13) << 28 | (key % 3)
}

fn spread(key: u32) -> u32 {
    crate::platform::hasher::KeyHash::of(u64::from(key)).index
}

impl Fixture {
    fn new(expected: usize) -> Self {
        let (index, writer) = Index::new(expected);
        Self { index, writer, linked: HashMap::new() }
    }

    fn insert(&mut self, key: u32, value: u32, hash: u32) {
        let fresh = Fresh::new(key, value, hash, 1);
        fresh.begin(0, FOREVER);
        if let Some(old) = self.linked.remove(&key) {
            let superseded =
                self.index.supersede(&mut self.writer, &old, fresh, Succession::Always, 0);
            let (heir, due) = superseded.ok().expect("always succeeds");
            assert_eq!(due, None);
            self.linked.insert(key, heir);
            free(old.into_superseded(RemovalCause::Replaced));
        } else {
            let (linked, old_table) = self.index.link(&mut self.writer, fresh);
            free_table(old_table);
            self.linked.insert(key, linked);
        }
    }

    fn remove(&mut self, key: u32) {
        let Some(linked) = self.linked.remove(&key) else { return };
        linked.kill(0);
        free(self.index.unlink(&mut self.writer, linked, RemovalCause::Removed));
    }

    fn get(&self, key: u32, hash: u32) -> Option<u32> {
        let pin = pin();
        self.index.find(&pin, hash, |other| *other == key).map(|entry| *entry.value())
    }

    fn check(&self) {
        let owns = |entry: &Entry<u32, u32>| {
            self.linked.get(entry.key()).is_some_and(|linked| linked.is(entry))
        };
        self.index.check(&self.writer, owns).expect("the invariants hold");
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let keys: Vec<_> = self.linked.keys().copied().collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }
}

fn free(unlinked: Unlinked<u32, u32>) {
    assert!(unlinked.is_free());
    // SAFETY: these tests have one thread, which holds no pin here.
    let removed = unsafe { unlinked.take() };
    assert_eq!(removed.deadline_ns, NEVER_NS);
}

fn free_table(table: Option<OldTable<u32, u32>>) {
    if let Some(table) = table {
        // SAFETY: as above.
        unsafe { table.free() };
    }
}

#[test]
fn churn_agrees_with_a_map_and_leaves_no_tombstones() {
    for hash in [spread as fn(u32) -> u32, crowded] {
        let mut fixture = Fixture::new(100);
        let mut model = HashMap::new();
        let mut state = 0x1234_5678_u32;
        for step in 0..20_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (state >> 8) % 200;
            if state & 3 == 0 {
                fixture.remove(key);
                model.remove(&key);
            } else {
                fixture.insert(key, step, hash(key));
                model.insert(key, step);
            }
            if step % 64 == 0 {
                fixture.check();
                free_table(fixture.index.fit(&mut fixture.writer));
                fixture.check();
            }
            assert_eq!(fixture.get(key, hash(key)), model.get(&key).copied());
        }
        let keys: Vec<_> = model.keys().copied().collect();
        keys.iter().for_each(|key| assert_eq!(fixture.get(*key, hash(*key)), Some(model[key])));
        keys.into_iter().for_each(|key| fixture.remove(key));
        // B2: with nobody in, nobody has gone past anybody.
        fixture.check();
        free_table(fixture.index.fit(&mut fixture.writer));
        assert_eq!(fixture.index.bytes(&fixture.writer), 0);
    }
}

#[test]
fn growth_keeps_every_key_and_stops_at_what_is_expected() {
    let mut fixture = Fixture::new(1_000);
    for key in 0..1_000 {
        fixture.insert(key, key, spread(key));
    }
    fixture.check();
    assert!((0..1_000).all(|key| fixture.get(key, spread(key)) == Some(key)));
    // 64 bytes for 5.5 entries, and no more than the last chunk beyond what is expected.
    assert!(fixture.index.bytes(&fixture.writer) <= 1_000 * 64 * 2 / 11 + 128);
}

#[test]
fn growth_is_by_half_up_to_what_is_expected_and_by_an_eighth_beyond() {
    const EXPECTED: usize = 1_000;
    let mut fixture = Fixture::new(EXPECTED);
    let (mut limits, mut rungs) = (vec![0], [0; 3]);
    for key in 0..2_000 {
        fixture.insert(key, key, spread(key));
        if fixture.writer.limit != limits[limits.len() - 1] {
            limits.push(fixture.writer.limit);
        }
    }
    // A chunk more or less is a matter of rounding.
    let agrees = |limit: usize, wanted: usize| (wanted..wanted + LANES).contains(&limit);
    assert!(agrees(limits[1], 1), "the first table has one chunk: {limits:?}");
    for rung in limits.windows(2).skip(1) {
        let (full, half_more) = (rung[0], rung[0] + rung[0] / 2);
        let (kind, wanted) = match full {
            _ if half_more <= EXPECTED => (0, half_more),
            _ if full < EXPECTED => (1, EXPECTED),
            _ => (2, full + full / 8),
        };
        assert!(agrees(rung[1], wanted), "{wanted} were wanted: {limits:?}");
        rungs[kind] += 1;
    }
    assert!(rungs[0] > 5 && rungs[1] == 1 && rungs[2] > 3, "{rungs:?}");
}

#[test]
fn table_is_fitted_when_under_65_of_100_places_are_in_use() {
    let mut fixture = Fixture::new(1_000);
    for key in 0..1_000 {
        fixture.insert(key, key, spread(key));
    }
    // 182 chunks of five and a half.
    assert_eq!(fixture.writer.limit, 1_001);
    for key in 0..349 {
        fixture.remove(key);
    }
    assert!(fixture.index.fit(&mut fixture.writer).is_none(), "651 of 1,001 are in use");
    fixture.remove(349);
    let old = fixture.index.fit(&mut fixture.writer);
    assert_eq!(old.as_ref().map(OldTable::bytes), Some(182 * 64 + size_of::<Table<u32, u32>>()));
    free_table(old);
    // An eighth is free: 743 places in 136 chunks.
    assert_eq!(fixture.writer.limit, 748);
    let bytes = fixture.index.bytes(&fixture.writer);
    assert_eq!(bytes, 136 * 64 + size_of::<Table<u32, u32>>());
    fixture.check();
    assert!(fixture.index.fit(&mut fixture.writer).is_none(), "it has just been fitted");
}

#[test]
fn table_of_one_chunk_stays_until_it_is_empty() {
    let mut fixture = Fixture::new(1_000);
    for key in 0..7 {
        fixture.insert(key, key, spread(key));
    }
    assert_eq!(fixture.writer.limit, 7);
    for key in 0..6 {
        fixture.remove(key);
        assert!(!fixture.index.has_slack(&fixture.writer), "no table is smaller");
    }
    fixture.remove(6);
    assert!(fixture.index.has_slack(&fixture.writer));
    free_table(fixture.index.fit(&mut fixture.writer));
    assert_eq!((fixture.writer.limit, fixture.index.bytes(&fixture.writer)), (0, 0));
    assert!(!fixture.index.has_slack(&fixture.writer) && fixture.get(6, spread(6)).is_none());
}

#[test]
fn check_tells_what_is_wrong() {
    let mut fixture = Fixture::new(100);
    for key in 0..20 {
        fixture.insert(key, key, spread(key));
    }
    let broken = |fixture: &Fixture, owns: bool| {
        fixture.index.check(&fixture.writer, |_| owns).err().unwrap_or_default()
    };
    assert_eq!(broken(&fixture, true), "");
    assert!(broken(&fixture, false).starts_with("I2"), "an entry without a record");
    fixture.writer.len += 1;
    assert!(broken(&fixture, true).starts_with("I2"), "an entry that is not there is counted");
    fixture.writer.len -= 1;
    fixture.writer.limit += 1;
    assert!(broken(&fixture, true).starts_with("I5"), "the writer has another table in mind");
    fixture.writer.limit -= 1;
    assert_eq!(broken(&fixture, true), "");
}

#[test]
fn reader_of_a_replaced_entry_goes_on_to_its_successor() {
    let mut fixture = Fixture::new(10);
    fixture.insert(1, 10, 7);
    let pin = pin();
    let old = fixture.index.find(&pin, 7, |key| *key == 1).expect("it is in");
    let fresh = Fresh::new(1, 11, 7, 1);
    fresh.begin(0, FOREVER);
    let old_token = fixture.linked.remove(&1).expect("it is in");
    let superseded =
        fixture.index.supersede(&mut fixture.writer, &old_token, fresh, Succession::Always, 0);
    let (heir, _) = superseded.ok().expect("always succeeds");
    fixture.linked.insert(1, heir);
    assert!(old.is_dead());
    let After::Successor(successor) = old.after(&pin) else { panic!("no successor") };
    assert_eq!(*successor.value(), 11);
    let mut chain = Chain::new();
    chain.push(old_token.into_superseded(RemovalCause::Replaced));
    assert!(matches!(old.after(&pin), After::Again), "the index has moved on");
    drop(pin);
    free(chain.pop().expect("it was pushed"));
}

/// Entries leave a chain in the order in which they came, however chains were put together.
#[test]
fn chains_keep_the_order_in_which_entries_left() {
    let mut fixture = Fixture::new(1_000);
    let mut chains = [const { Chain::new() }; 2];
    let mut models = [const { std::collections::VecDeque::new() }; 2];
    let mut random = 7_u32;
    for key in 0..1_000 {
        fixture.insert(key, key, spread(key));
        let linked = fixture.linked.remove(&key).expect("it is in");
        linked.kill(0);
        let unlinked = fixture.index.unlink(&mut fixture.writer, linked, RemovalCause::Removed);
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let which = (random >> 30) as usize % 2;
        chains[which].push(unlinked);
        models[which].push_back(key);
        if random >> 24 & 7 == 0 {
            let [one, other] = &mut chains;
            one.append(other);
            let [one, other] = &mut models;
            one.append(other);
        }
        let which = (random >> 22) as usize % 2;
        for _ in 0..random >> 20 & 3 {
            let popped = chains[which].pop().map(|unlinked| (unlinked.hash(), free(unlinked)));
            assert_eq!(popped.map(|(hash, ())| hash), models[which].pop_front().map(spread));
        }
        assert_eq!(
            [0, 1].map(|which| chains[which].len()),
            [0, 1].map(|which| models[which].len())
        );
    }
    for (mut chain, model) in chains.into_iter().zip(models) {
        for key in model {
            let unlinked = chain.pop().expect("as many as in the model");
            assert_eq!(unlinked.hash(), spread(key));
            free(unlinked);
        }
        assert!(chain.pop().is_none());
    }
}

#[test]
fn held_entry_is_freed_by_its_last_hold() {
    let mut fixture = Fixture::new(10);
    fixture.insert(1, 10, 7);
    let clock = crate::Clock::monotonic();
    let hold = |fixture: &Fixture| {
        let look = (&clock, Use::Hold);
        fixture.index.hold(&pin(), 7, |key| *key == 1, look)
    };
    let (first, second) = (hold(&fixture).expect("live"), hold(&fixture).expect("live"));
    let linked = fixture.linked.remove(&1).expect("it is in");
    linked.kill(0);
    let unlinked = fixture.index.unlink(&mut fixture.writer, linked, RemovalCause::Removed);
    assert!(!first.release(), "not the last hold");
    assert!(!unlinked.is_free());
    assert!(second.release(), "the last hold on an orphan reports itself");
    free(unlinked);
    assert!(hold(&fixture).is_none());
}

#[test]
fn spread_keys_crowd_no_chunk() {
    let mut fixture = Fixture::new(1_000);
    (0..1_000).for_each(|key| fixture.insert(key, key, spread(key)));
    let table = fixture.index.current(&fixture.writer).expect("there is one");
    // If all searches began at one chunk, 993 keys would have gone past it.
    assert!(!table.has_stuck_count());
}

#[test]
fn token_knows_its_own_entry() {
    let mut fixture = Fixture::new(10);
    (0..2).for_each(|key| fixture.insert(key, key, key));
    let (first, second) = (&fixture.linked[&0], &fixture.linked[&1]);
    assert!(first.is(first) && !first.is(second) && !second.is(first));
}

/// Links a session that was born at `born_ns` and idles out 10 ms after its last use.
fn idling(born_ns: u64) -> (Index<u32, u32>, Writer, Linked<u32, u32>) {
    let (index, mut writer) = Index::new(10);
    let fresh = Fresh::new(1, 10, 7, 1);
    fresh.begin(born_ns, Spans { live_ns: NEVER_NS, idle_ns: 10 * MILLI_NS });
    let (linked, old_table) = index.link(&mut writer, fresh);
    free_table(old_table);
    (index, writer, linked)
}

fn bury(index: &Index<u32, u32>, writer: &mut Writer, dead: Linked<u32, u32>) {
    let unlinked = index.unlink(writer, dead, RemovalCause::Evicted);
    assert!(unlinked.is_free());
    // SAFETY: these tests have one thread, which holds no pin here.
    let _parts = unsafe { unlinked.take() };
}

#[test]
fn uses_count_in_whole_milliseconds_since_birth() {
    let manual = crate::ManualClock::new();
    let clock = crate::Clock::from(manual.clone());
    let (index, mut writer, linked) = idling(400_000);
    for (now_us, used_us) in [(900, 400), (1_399, 400), (1_400, 1_400), (5_900, 5_400)] {
        manual.advance(core::time::Duration::from_micros(now_us) - manual.elapsed());
        let look = (&clock, Use::Touch);
        assert!(index.look_up(&pin(), 7, |key| *key == 1, look).is_some());
        assert_eq!(linked.judge().deadline_ns(), used_us * 1_000 + 10 * MILLI_NS, "at {now_us}");
    }
    linked.kill(0);
    bury(&index, &mut writer, linked);
}

#[test]
fn nobody_is_evicted_who_was_used_since() {
    let (used_ns, due_ns) = (20 * MILLI_NS, 30 * MILLI_NS);
    for (now_ns, due) in [(due_ns - 1, None), (due_ns, Some(RemovalCause::Idle))] {
        let (index, mut writer, linked) = idling(used_ns);
        assert_eq!(linked.kill_if_unused_since(19, now_ns), None);
        assert!(!linked.is_dead());
        assert_eq!(linked.kill_if_unused_since(20, now_ns), Some(due));
        assert!(linked.is_dead());
        bury(&index, &mut writer, linked);
    }
}

proptest! {
    // A failure is kept as a named test, not as a seed.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn index_agrees_with_a_map_where_hashes_collide(words in vec(any::<Word>(), 1..100)) {
        let result = history::run(&words);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

/// A history that reaches little proves little.
#[test]
fn the_histories_reach_stuck_counts_and_held_entries() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut all = history::Reached::default();
    for _ in 0..200 {
        let words: Vec<Word> = (0..100)
            .map(|_| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                ((state >> 32) as u32).to_le_bytes()
            })
            .collect();
        let reached = history::run(&words).expect("the index agrees with the map");
        all.most = all.most.max(reached.most);
        all.stuck += reached.stuck;
        all.superseded += reached.superseded;
        all.declined += reached.declined;
        all.left_held += reached.left_held;
    }
    assert!(all.most > 262 && all.stuck > 100, "{all:?}");
    assert!(all.superseded > 1_000 && all.declined > 10 && all.left_held > 10, "{all:?}");
}
