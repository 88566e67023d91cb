use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Exp};

use super::*;

/// Arrivals at random, visits of very different lengths: how often are there more than planned?
#[test]
fn a_simulated_cache_holds_more_than_planned_once_in_a_thousand() {
    let rate: Rate = "1/s".parse().unwrap();
    let stream = Stream::new(Some(rate), Duration::from_secs(400), 1, None).unwrap();
    assert_eq!((stream.mean, stream.planned(1)), (400.0, 463));
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (pause, visit) = (Exp::new(1.0).unwrap(), Exp::new(0.01).unwrap());
    let mut ends: Vec<f64> = Vec::new();
    let (mut now_s, mut looks, mut above, mut sum) = (0.0, 0_u64, 0_u64, 0_u64);
    while now_s < 2e6 {
        now_s += pause.sample(&mut random);
        ends.retain(|&end| end > now_s);
        // The idle time of 300 s comes after a visit of 100 s on average.
        ends.push(now_s + 300.0 + visit.sample(&mut random));
        if now_s > 4_000.0 {
            // By an arrival, which sees what there is on average, without itself.
            let others = ends.len() as u64 - 1;
            looks += 1;
            sum += others;
            above += u64::from(others > stream.planned(1));
        }
    }
    let mean = sum as f64 / looks as f64;
    assert!((mean - 400.0).abs() < 2.0, "{mean}");
    let share = above as f64 / looks as f64;
    assert!((0.000_3..0.002).contains(&share), "{share}");
}

#[test]
fn a_rate_and_a_log_come_to_the_larger() {
    let log = |peak| Log {
        sessions: 600,
        span: Duration::from_secs(600),
        mean_lifetime: Duration::from_secs(50),
        mean: 50.0,
        peak,
        halves: None,
        bad_lines: 0,
        first_flaw: None,
    };
    let (rate, lifetime) = (Some("2/s".parse().unwrap()), Duration::from_secs(50));
    let peaks = [(rate, 90, 100.0), (rate, 110, 110.0), (None, 90, 90.0)];
    for (rate, peak, peak_mean) in peaks {
        let stream = Stream::new(rate, lifetime, 1, Some(log(peak))).unwrap();
        assert_eq!((stream.peak_mean, stream.planned(1)), (peak_mean, planned(peak_mean)));
    }
}
