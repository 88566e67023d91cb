//! Sessions with principals, beside a list.
#![cfg(all(feature = "sessions", not(any(sundown_shuttle, sundown_bare))))]

#[path = "sessions/history.rs"]
mod history;

use history::{Op, Setup, run};
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_history_agrees_with_a_list(
        setup: u8,
        ops in proptest::collection::vec(any::<[u8; 4]>(), 1..200),
    ) {
        let ops: Vec<Op> = ops.into_iter().map(Op::decode).collect();
        if let Err(difference) = run(Setup::decode(setup), &ops) {
            panic!("{difference}\n{:?}\n{ops:?}", Setup::decode(setup));
        }
    }
}

/// Long ones: what builds up is seen as well.
#[test]
fn two_thousand_steps_in_each_setup_agree_with_a_list() {
    let mut state = 0x5eed_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    for setup in 0..32 {
        let ops: Vec<Op> =
            (0..2_000).map(|_| Op::decode(std::array::from_fn(|_| next()))).collect();
        run(Setup::decode(setup), &ops).unwrap();
    }
}
