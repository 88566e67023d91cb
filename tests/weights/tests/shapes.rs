//! What the stores weigh is what an allocator sets aside, to 15 %, in every shape.
//!
//! What a store keeps is a copy of what it is given. That makes a difference where `serde_json` has
//! its feature `preserve_order`: an object that was made at once has no room left, but its copy does.

mod shared;

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::sessions::{Data, shapes};
use shared::{MOST_OFF_PERCENT, off_percent, takes};
use sundown::actix_session_0_11::{SessionState, state_bytes};
use sundown::{tower_sessions_0_14, tower_sessions_0_15};
use time::OffsetDateTime;
use tower_sessions_core_0_14::session as session_0_14;
use tower_sessions_core_0_15::session as session_0_15;

fn record_0_14(data: Data) -> session_0_14::Record {
    let expiry_date = OffsetDateTime::now_utc();
    session_0_14::Record { id: session_0_14::Id(7), data, expiry_date }
}

fn record_0_15(data: Data) -> session_0_15::Record {
    let expiry_date = OffsetDateTime::now_utc();
    session_0_15::Record { id: session_0_15::Id(7), data, expiry_date }
}

/// As actix-session keeps it: values are JSON that is written out.
fn state(data: &Data) -> SessionState {
    data.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}

/// What is told of a value, and what it takes.
fn weigh<T>(value: T, bytes_of: impl Fn(&T) -> u64) -> (u64, u64) {
    let told = bytes_of(&value);
    (told, takes(value))
}

#[track_caller]
fn agree(what: &str, (told, taken): (u64, u64)) -> f64 {
    let off = off_percent(told, taken);
    println!("{what:44} {taken:>9} taken {told:>9} told {off:>6.1} %");
    assert!(off.abs() <= MOST_OFF_PERCENT, "{what}: {told} told, {taken} taken, off {off:.1} %");
    off
}

#[test]
fn records_weigh_what_they_take() {
    for (name, data) in shapes() {
        let copy = format!("{name}, a copy");
        agree(&copy, weigh(record_0_14(data.clone()), tower_sessions_0_14::record_bytes));
        agree(&copy, weigh(record_0_15(data.clone()), tower_sessions_0_15::record_bytes));
        if !cfg!(feature = "ordered") {
            agree(name, weigh(record_0_15(data), tower_sessions_0_15::record_bytes));
        }
    }
}

#[test]
fn states_weigh_what_they_take() {
    for (name, data) in shapes() {
        agree(name, weigh(state(&data), state_bytes));
    }
}

/// As sessions come from a database.
#[test]
fn parsed_records_weigh_what_they_take() {
    for (name, data) in shapes() {
        let text = serde_json::to_string(&data).expect("it is JSON");
        let data = serde_json::from_str(&text).expect("it is JSON");
        let name = format!("{name}, parsed");
        agree(&name, weigh(record_0_15(data), tower_sessions_0_15::record_bytes));
    }
}

#[test]
fn weighing_allocates_nothing() {
    for (name, data) in shapes() {
        let state = state(&data);
        let record = record_0_15(data);
        let before = shared::heap::allocations_here();
        let bytes = tower_sessions_0_15::record_bytes(&record) + state_bytes(&state);
        assert_eq!(shared::heap::allocations_here(), before, "{name}, {bytes} bytes");
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaves = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,40}".prop_map(Value::from),
    ];
    leaves.prop_recursive(5, 400, 30, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(Value::from),
            prop::collection::hash_map(".{0,12}", inner, 0..30)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_in_a_session_weighs_what_it_takes(
        data in prop::collection::hash_map(".{0,20}", values(), 0..20),
    ) {
        agree("random state", weigh(state(&data), state_bytes));
        agree("random copy", weigh(record_0_15(data.clone()), tower_sessions_0_15::record_bytes));
        if !cfg!(feature = "ordered") {
            agree("random record", weigh(record_0_15(data), tower_sessions_0_15::record_bytes));
        }
    }
}
