use clap::Parser;

use super::*;
use crate::options::Options;

fn reported(line: &str) -> String {
    let words = ["plan"].into_iter().chain(line.split_whitespace());
    let demand = Options::try_parse_from(words).unwrap().demand().unwrap();
    report(&demand, &Plan::of(&demand).unwrap())
}

const USUAL: &str = "--log-ins 2000/min --idle 30m --live 8h --bytes 2KiB \
                     --anonymous 40000/min --anonymous-idle 5m";

#[test]
fn a_report_fits_on_one_screen() {
    let large = "--log-ins 1000000/s --idle 10m --live 999s --visit 3m --bytes 12345 \
                 --anonymous 1000000/s --anonymous-idle 5m --anonymous-visit 2m --fill 90 \
                 --service-memory 1023.9GiB";
    for line in [USUAL, large] {
        let report = reported(line);
        assert!(report.lines().count() <= 36, "{report}");
        for line in report.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn a_report_has_the_figures_and_the_lines_to_paste() {
    let report = reported(USUAL);
    for part in [
        "container limit 1,434 MiB, for 282,258 concurrent sessions",
        "80,000      200,000      280,000",
        "80,875      201,383      282,258",
        "visit 10m + idle 30m, at most live 8h = 40m",
        ".max_entries(470_431)",
        ".time_to_live(Duration::from_secs(28_800));",
        ".anonymous_up_to(0.713, ",
        "time::Duration::seconds(300)",
        "memory: 1434Mi",
        "minReplicas: 1 ",
        "averageValue: 600m",
    ] {
        assert!(report.contains(part), "{part} is missing in\n{report}");
    }
    let without = reported("--log-ins 5/s --live 8h --bytes 2KiB");
    for part in ["anonymous", "time_to_idle", "total"] {
        assert!(!without.contains(part), "{part} is in\n{without}");
    }
}

#[test]
fn the_halves_of_a_log_are_compared_in_two_lines() {
    let log = |halves| Log {
        sessions: 1_000,
        span: Duration::from_secs(3_600),
        mean_lifetime: Duration::from_secs(60),
        mean: 10.0,
        peak: 100,
        halves,
        bad_lines: 0,
        first_flaw: None,
    };
    for (halves, comparison, verdict) in [
        ([10, 36], "half: 21; the second half reached 36, 71.4 % more", "would have evicted"),
        (
            [10, 30],
            "half: 21; the second half reached 30, 42.9 % more",
            "its cap of 35 would have held",
        ),
        ([10, 21], "half: 21; the second half reached 21, 0.0 % less", "would have held"),
        ([100, 99], "half: 132; the second half reached 99, 25.0 % less", "would have held"),
    ] {
        let told = tell_log(&log(Some(halves)), 60);
        assert!(told.contains(comparison) && told.contains(verdict), "{told}");
    }
    assert!(tell_log(&log(None), 60).contains("no halves"));
}

#[test]
fn times_are_rounded_and_written_as_rust() {
    let millis = Duration::from_millis;
    let times = [(500, "500ms"), (2_196_549, "36m 37s"), (53_520_900, "14h 52m")];
    for (time, expected) in times {
        assert_eq!(rounded(millis(time)), expected);
    }
    assert_eq!(duration(millis(1_800_000)), "Duration::from_secs(1_800)");
    assert_eq!(duration(millis(1_500)), "Duration::from_millis(1_500)");
    assert_eq!(duration(Duration::from_micros(1)), "Duration::from_millis(1)");
}
