use clap::Parser;
use sundown::Cache;

use super::*;
use crate::memory::Sessions;
use crate::options::Options;

fn demand(line: &str) -> Demand {
    let words = ["plan"].into_iter().chain(line.split_whitespace());
    Options::try_parse_from(words).unwrap().demand().unwrap()
}

#[test]
fn caps_are_filled_to_the_threshold_at_the_peak() {
    let demand = demand("--log-ins 2000/min --idle 30m --live 8h --bytes 2KiB");
    let plan = Plan::of(&demand).unwrap();
    assert_eq!((plan.instances, plan.max_entries), (1, 80_875 * 100 / 60 + 1));
    assert_eq!(plan.anonymous_share, None);
    let full = plan.max_entries * footprint(&demand.streams[0]).resident() + (128 << 20);
    let container = plan.container_bytes;
    assert!(full * 100 <= container * 90 && container * 90 < (full + (2 << 20)) * 100);
}

#[test]
fn a_cache_with_these_caps_evicts_nobody_before_both_are_full() {
    let demand = demand("--log-ins 1/s --idle 5m --bytes 570");
    let plan = Plan::of(&demand).unwrap();
    let cache: Sessions = Cache::builder()
        .max_entries(plan.max_entries as usize)
        .max_weight(plan.max_weight)
        // As stores weigh.
        .weigher(|key, data| (size_of_val(key) + size_of_val(data) + 592) as u64)
        .count_overhead()
        .build()
        .unwrap();
    for id in 0..u128::from(plan.max_entries) {
        cache.insert(id, vec![1; 570].into()).unwrap();
    }
    let stats = cache.stats();
    assert_eq!((stats.entries as u64, stats.evicted), (plan.max_entries, 0));
    assert_eq!(stats.weight, plan.max_weight, "it is full by both");
}

#[test]
fn instances_hold_their_part_and_are_as_few_as_can_be() {
    for (memory, fill) in [("200MiB", 60), ("256MiB", 75), ("400MiB", 60), ("1GiB", 60)] {
        let line = format!(
            "--log-ins 2000/min --idle 30m --bytes 2KiB --anonymous 40000/min --anonymous-idle 5m \
             --instance-memory {memory} --fill {fill}"
        );
        let demand = demand(&line);
        let plan = Plan::of(&demand).unwrap();
        assert!(plan.instances > 1 && Some(plan.container_bytes) <= demand.instance_bytes);
        let each: u64 = demand.streams.iter().map(|stream| stream.planned(plan.instances)).sum();
        assert!(each * 100 <= plan.max_entries * fill);
        assert!(each * plan.instances >= 282_258, "each has luck of its own to prepare for");
        let fewer = Plan::with(&demand, plan.instances - 1).unwrap();
        assert!(Some(fewer.container_bytes) > demand.instance_bytes, "{line}");
    }
}

#[test]
fn each_kind_has_room_for_its_part() {
    for anonymous in ["1/h", "1/s", "700/s", "100000/s"] {
        for bytes in [100, 2_048, 50_000] {
            let line = format!(
                "--log-ins 1/s --idle 1m --bytes 2KiB --fill 90 --anonymous {anonymous} \
                 --anonymous-bytes {bytes}"
            );
            let demand = demand(&line);
            let plan = Plan::of(&demand).unwrap();
            let share = plan.anonymous_share.unwrap();
            let [users, visitors] = [0, 1].map(|at| demand.streams[at].planned(1));
            let entries = (plan.max_entries as f64 * share) as u64;
            assert!(entries >= visitors, "{line}: {share}");
            let weight = (plan.max_weight as f64 * share) as u64;
            assert!(weight >= visitors * footprint(&demand.streams[1]).weight, "{line}: {share}");
            assert!(plan.max_entries - visitors >= users, "{line}");
            if bytes == 2_048 {
                assert!(plan.max_entries - entries >= users, "{line}: {share}");
            }
        }
    }
}
