//! Random histories against an exact naive model, compared after every step.
//!
//! `PROPTEST_CASES=10000 cargo test --release --test properties` runs more of them. A history that
//! fails is printed shrunk; write it down under `tests/api/` as a test of its own, named by what
//! went wrong.

#![cfg(not(sundown_loom))]

mod common;

use common::interpreter::run;
use common::model::{Limits, NEVER};
use common::op::Op;
use common::twin::Setup;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::collections::HashSet;
use std::time::Duration;
use sundown::OnFull;

/// How long a history may be.
const OPS: usize = 200;

const BOTH_LIFETIMES: Limits = Limits { live_ms: 50, idle_ms: 20, ..Limits::PLAIN };

const ONE_SHARD: Setup = Setup {
    limits: BOTH_LIFETIMES,
    shards: 1,
    resolution: Duration::from_millis(10),
    is_reaped_each_step: true,
};

const BY_WEIGHT: Limits = Limits {
    max_entries: None,
    max_weight: Some(24),
    live_ms: 5_000,
    idle_ms: 100,
    ..Limits::PLAIN
};

const BY_BOTH: Limits = Limits {
    max_entries: Some(6),
    max_weight: Some(24),
    live_ms: NEVER,
    idle_ms: 100,
    ..Limits::PLAIN
};

#[test]
fn one_shard_agrees_with_the_model() {
    agree(ONE_SHARD);
}

#[test]
fn one_shard_agrees_while_the_dead_pile_up() {
    agree(Setup { is_reaped_each_step: false, ..ONE_SHARD });
}

#[test]
fn four_shards_agree_with_the_model() {
    agree(Setup { shards: 4, ..ONE_SHARD });
}

#[test]
fn sessions_without_lifetimes_agree_with_the_model() {
    agree(Setup { limits: Limits::PLAIN, shards: 4, is_reaped_each_step: false, ..ONE_SHARD });
}

#[test]
fn room_for_all_agrees_with_the_model() {
    let limits = Limits { max_entries: Some(100), live_ms: 1_000, ..BOTH_LIFETIMES };
    agree(Setup { limits, resolution: Duration::from_millis(1), ..ONE_SHARD });
}

#[test]
fn a_single_place_agrees_with_the_model() {
    let limits = Limits { max_entries: Some(1), ..BOTH_LIFETIMES };
    agree(Setup { limits, is_reaped_each_step: false, ..ONE_SHARD });
}

#[test]
fn a_cap_on_weight_agrees_with_the_model() {
    agree(Setup { limits: BY_WEIGHT, ..ONE_SHARD });
}

#[test]
fn a_cap_on_weight_over_four_shards_agrees_while_the_dead_pile_up() {
    agree(Setup { limits: BY_WEIGHT, shards: 4, is_reaped_each_step: false, ..ONE_SHARD });
}

#[test]
fn both_caps_agree_with_the_model() {
    agree(Setup { limits: BY_BOTH, shards: 4, ..ONE_SHARD });
}

#[test]
fn both_caps_agree_while_the_dead_pile_up() {
    let resolution = Duration::from_secs(3_600);
    agree(Setup { limits: BY_BOTH, resolution, is_reaped_each_step: false, ..ONE_SHARD });
}

#[test]
fn rejection_agrees_with_the_model() {
    let limits = Limits { on_full: OnFull::Reject, ..BOTH_LIFETIMES };
    agree(Setup { limits, shards: 4, is_reaped_each_step: false, ..ONE_SHARD });
}

#[test]
fn rejection_by_weight_agrees_with_the_model() {
    agree(Setup { limits: Limits { on_full: OnFull::Reject, ..BY_BOTH }, ..ONE_SHARD });
}

/// A history that reaches little proves little.
#[test]
fn the_histories_reach_every_cause_and_every_reason() {
    let (mut causes, mut reasons, mut spared) = (HashSet::new(), HashSet::new(), 0);
    let both_modes = [OnFull::Evict, OnFull::Reject];
    for seed in 0..2_000_u64 {
        let limits =
            Limits { on_full: both_modes[usize::from(seed % 2 == 1)], live_ms: 1_000, ..BY_BOTH };
        let setup = Setup { limits, is_reaped_each_step: seed % 3 == 0, ..ONE_SHARD };
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
    let check = |ops: Vec<Op>| run(&setup, &ops).map(drop).map_err(TestCaseError::fail);
    match TestRunner::new(config).run(&histories(), check) {
        Ok(()) => {}
        Err(TestError::Fail(reason, ops)) => panic!("{reason}\n{setup:?}\n{ops:?}"),
        Err(error) => panic!("{error}"),
    }
}
