//! Random histories against an exact naive model, compared after every step.
//!
//! `PROPTEST_CASES=10000 cargo test --release --test properties` runs more of them. A history that
//! fails is printed shrunk; write it down under `tests/api/` as a test of its own, named by what
//! went wrong.

#![cfg(not(sundown_loom))]

mod common;

use common::interpreter::run;
use common::op::Op;
use common::setups;
use common::twin::Setup;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::collections::HashSet;

/// How long a history may be.
const OPS: usize = 200;

#[test]
fn one_shard_agrees_with_the_model() {
    agree(setups::ONE_SHARD);
}

#[test]
fn one_shard_agrees_while_the_dead_pile_up() {
    agree(setups::THE_DEAD_PILE_UP);
}

#[test]
fn four_shards_agree_with_the_model() {
    agree(setups::FOUR_SHARDS);
}

#[test]
fn sessions_without_lifetimes_agree_with_the_model() {
    agree(setups::NO_LIFETIMES);
}

#[test]
fn room_for_all_agrees_with_the_model() {
    agree(setups::ROOM_FOR_ALL);
}

#[test]
fn a_single_place_agrees_with_the_model() {
    agree(setups::A_SINGLE_PLACE);
}

#[test]
fn a_cap_on_weight_agrees_with_the_model() {
    agree(setups::CAP_ON_WEIGHT);
}

#[test]
fn a_cap_on_weight_over_four_shards_agrees_while_the_dead_pile_up() {
    agree(setups::CAP_ON_WEIGHT_PILED_UP);
}

#[test]
fn both_caps_agree_with_the_model() {
    agree(setups::BOTH_CAPS);
}

#[test]
fn both_caps_agree_while_the_dead_pile_up() {
    agree(setups::BOTH_CAPS_PILED_UP);
}

#[test]
fn rejection_agrees_with_the_model() {
    agree(setups::REJECTING);
}

#[test]
fn rejection_by_weight_agrees_with_the_model() {
    agree(setups::REJECTING_BY_WEIGHT);
}

#[test]
fn a_listener_that_calls_back_agrees_with_the_model() {
    agree(setups::CALLING_BACK);
}

/// A history that reaches little proves little.
#[test]
fn the_histories_reach_every_cause_and_every_reason() {
    let (mut causes, mut reasons, mut spared) = (HashSet::new(), HashSet::new(), 0);
    for (setup, seed) in setups::ALL.into_iter().cycle().zip(0..2_400_u64) {
        let mut runner = TestRunner::new_with_rng(Config::default(), rng(seed));
        let ops = histories().new_tree(&mut runner).expect("no filter rejects").current();
        let reached = run(&setup, &ops).expect("the cache agrees with the model");
        causes.extend(reached.causes.iter().map(|(cause, _)| format!("{cause:?}")));
        reasons.extend(reached.reasons.iter().map(|reason| format!("{reason:?}")));
        spared += reached.spared;
    }
    assert_eq!(causes.len(), 7, "only {causes:?}");
    assert_eq!(reasons.len(), 5, "only {reasons:?}");
    assert!(spared > 0, "no update of the coldest session had others evicted");
}

fn rng(seed: u64) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &[seed.to_le_bytes(); 4].concat())
}

fn histories() -> impl Strategy<Value = Vec<Op>> {
    vec(any::<[u8; 4]>().prop_map(Op::decode), 0..=OPS)
}

fn agree(setup: Setup) {
    // A failure is kept as a named test, not as a seed; it is worth shrinking to the end.
    let config =
        Config { failure_persistence: None, max_shrink_iters: 100_000, ..Config::default() };
    let check = |(hash_seed, ops): (u64, Vec<Op>)| {
        run(&Setup { hash_seed, ..setup }, &ops).map(drop).map_err(TestCaseError::fail)
    };
    match TestRunner::new(config).run(&(any::<u64>(), histories()), check) {
        Ok(()) => {}
        Err(TestError::Fail(reason, (hash_seed, ops))) => {
            panic!("{reason}\n{:?}\n{ops:?}", Setup { hash_seed, ..setup })
        }
        Err(error) => panic!("{error}"),
    }
}
