//! Which targets are met: for each, the worst case that was measured, by its median.

use comfy_table::{Table, presets};

use super::{ALLOCATORS, Row, Run};

/// What must hold in every case.
struct Target {
    name: &'static str,
    claim: &'static str,
    bound: Bound,
    /// The cases to which it applies, and what was measured in each.
    cases: fn(&Rows) -> Vec<(String, f64)>,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn is_worse(self, value: f64, than: f64) -> bool {
        match self {
            Self::AtLeast(_) => value < than,
            Self::AtMost(_) => value > than,
        }
    }
}

/// One table: a target, its worst case with each allocator, and whether it is met there.
pub(super) fn markdown(runs: &[(Run, Vec<Row>)]) -> String {
    // Only what was measured in one run is compared.
    let rows_with = |allocator: &str| -> Vec<Rows> {
        let runs = runs.iter().filter(|(run, _)| run.allocator() == allocator);
        runs.map(|(_, rows)| Rows(rows.iter().collect())).collect()
    };
    let runs = ALLOCATORS.map(|allocator| (allocator, rows_with(allocator)));
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["", "target", "worst case", "allocator", "measured", ""]);
    for Target { name, claim, bound, cases } in TARGETS {
        let mut is_measured = false;
        for (allocator, runs) in &runs {
            let mut worst: Option<(String, f64)> = None;
            for (case, value) in runs.iter().flat_map(cases) {
                if worst.as_ref().is_none_or(|(_, than)| bound.is_worse(value, *than)) {
                    worst = Some((case, value));
                }
            }
            let Some((case, value)) = worst else { continue };
            let verdict = if bound.holds(value) { "met" } else { "**not met**" };
            table.add_row([name, claim, &case, allocator, &format!("{value:.2}"), verdict]);
            is_measured = true;
        }
        if !is_measured {
            table.add_row([name, claim, "", "", "", "not measured"]);
        }
    }
    format!("\n## Targets\n\n{table}\n")
}

/// All rows of a run.
struct Rows<'r>(Vec<&'r Row>);

impl<'r> Rows<'r> {
    fn of(&self, bench: &str, peer: &str) -> impl Iterator<Item = &'r Row> {
        self.0.iter().copied().filter(move |row| row.bench == bench && row.peer == peer)
    }

    /// How ours compares with a peer, in each case that `applies` to.
    fn ratios(
        &self,
        bench: &str,
        peers: &[&str],
        applies: impl Fn(&Row) -> bool,
    ) -> Vec<(String, f64)> {
        let rows = peers.iter().flat_map(|peer| self.of(bench, peer)).filter(|row| applies(row));
        rows.filter_map(|row| {
            let ratio = row.figures.first()?.ratio?;
            Some((format!("{}, {}", row.peer, case(row)), ratio.median))
        })
        .collect()
    }

    /// A figure of ours, in each case that `applies` to.
    fn ours(
        &self,
        bench: &str,
        figure: &str,
        applies: impl Fn(&Row) -> bool,
    ) -> Vec<(String, f64)> {
        let rows = self.of(bench, OURS).filter(|row| applies(row));
        rows.filter_map(|row| Some((case(row), row.get(figure)?.spread.median))).collect()
    }
}

fn case(row: &Row) -> String {
    let parts: Vec<String> =
        row.case.iter().map(|(name, value)| format!("{name} {value}")).collect();
    parts.join(", ")
}

fn any(_row: &Row) -> bool {
    true
}

/// P1: where the popular sessions of a million are read.
fn popular(row: &Row) -> bool {
    row.case("popularity") == "zipf 0.99" && row.case("sessions") == "1000000"
}

/// P2: where plain maps are at their best.
fn plain(row: &Row) -> bool {
    let is_uniform = row.case("popularity") == "uniform";
    row.case("sessions") == "20000" || is_uniform && row.case("sessions") == "1000000"
}

fn evicting_mix(row: &Row) -> bool {
    row.case("mix") == "90/10 with eviction"
}

fn in_a_million(row: &Row) -> bool {
    row.case("sessions") == "1000000"
}

/// How much smaller ours grows than the best plain map does, in each case.
fn growth(rows: &Rows) -> Vec<(String, f64)> {
    let factor = |row: &Row| Some(row.get("times as dear")?.spread.median);
    let mut cases = Vec::new();
    for ours in rows.of("growth", OURS) {
        let maps = PLAIN_MAPS.iter().flat_map(|map| rows.of("growth", map));
        let best = maps.filter(|map| map.case == ours.case).filter_map(factor).reduce(f64::min);
        if let (Some(ours_factor), Some(best)) = (factor(ours), best) {
            cases.push((case(ours), ours_factor / best));
        }
    }
    cases
}

/// How many times ours the swept map's worst reads take.
fn against_the_swept(rows: &Rows) -> Vec<(String, f64)> {
    let worst = |row: &Row| Some(row.get("storm p99.99 ns")?.spread.median);
    let mut cases = Vec::new();
    for ours in rows.of("storm", OURS) {
        let theirs = rows.of("storm", "dashmap, swept").find(|theirs| theirs.case == ours.case);
        if let (Some(ours_ns), Some(theirs_ns)) = (worst(ours), theirs.and_then(worst)) {
            cases.push((case(ours), theirs_ns / ours_ns));
        }
    }
    cases
}

const OURS: &str = "sundown";
const PLAIN_MAPS: [&str; 3] = ["dashmap", "papaya", "scc"];
const MOKAS: [&str; 2] = ["moka", "moka, LRU"];

use Bound::{AtLeast, AtMost};

const TARGETS: [Target; 23] = [
    Target {
        name: "P1",
        claim: "reads, zipf 0.99, 1M: at least 6x moka",
        bound: AtLeast(6.0),
        cases: |rows| rows.ratios("reads", &MOKAS, popular),
    },
    Target {
        name: "P1",
        claim: "at least 1.1x quick_cache on 1 thread",
        bound: AtLeast(1.1),
        cases: |rows| {
            let applies = |row: &Row| popular(row) && row.case("threads") == "1";
            rows.ratios("reads", &["quick_cache"], applies)
        },
    },
    Target {
        name: "P1",
        claim: "at least 1.3x quick_cache on 2 threads and more",
        bound: AtLeast(1.3),
        cases: |rows| {
            let applies = |row: &Row| popular(row) && row.case("threads") != "1";
            rows.ratios("reads", &["quick_cache"], applies)
        },
    },
    Target {
        name: "P1",
        claim: "at least 3x fibre_cache",
        bound: AtLeast(3.0),
        cases: |rows| rows.ratios("reads", &["fibre_cache"], popular),
    },
    Target {
        name: "P2",
        claim: "reads, 1M uniform and 20k: at least the best plain map",
        bound: AtLeast(1.0),
        cases: |rows| rows.ratios("reads", &PLAIN_MAPS, plain),
    },
    Target {
        name: "P3",
        claim: "90/10 with eviction: at least 6x moka",
        bound: AtLeast(6.0),
        cases: |rows| rows.ratios("mixed", &MOKAS, evicting_mix),
    },
    Target {
        name: "P3",
        claim: "at least 1.0x quick_cache",
        bound: AtLeast(1.0),
        cases: |rows| rows.ratios("mixed", &["quick_cache"], evicting_mix),
    },
    Target {
        name: "P3",
        claim: "at least 2x fibre_cache",
        bound: AtLeast(2.0),
        cases: |rows| rows.ratios("mixed", &["fibre_cache"], evicting_mix),
    },
    Target {
        name: "P4",
        claim: "inserts with eviction, 1M: at least 4x moka",
        bound: AtLeast(4.0),
        cases: |rows| rows.ratios("inserts", &MOKAS, in_a_million),
    },
    Target {
        name: "P4",
        claim: "at least 0.9x quick_cache",
        bound: AtLeast(0.9),
        cases: |rows| rows.ratios("inserts", &["quick_cache"], in_a_million),
    },
    Target {
        name: "P4",
        claim: "at least 2x fibre_cache",
        bound: AtLeast(2.0),
        cases: |rows| rows.ratios("inserts", &["fibre_cache"], in_a_million),
    },
    Target {
        name: "P5",
        claim: "lag p99.9 at most a resolution and 2 ms (12 ms)",
        bound: AtMost(12.0),
        cases: |rows| rows.ours("lag", "p99.9 ms", any),
    },
    Target {
        name: "P5",
        claim: "the same in every tick, around the starts of slots",
        bound: AtMost(12.0),
        cases: |rows| rows.ours("lag sweep", "p99.9 ms", any),
    },
    Target {
        name: "P5",
        claim: "every probe delivered (%)",
        bound: AtLeast(100.0),
        cases: |rows| {
            let mut cases = rows.ours("lag", "delivered %", any);
            cases.extend(rows.ours("lag sweep", "delivered %", any));
            cases
        },
    },
    Target {
        name: "P6",
        claim: "storm p99 at most 1.5x the quiet p99",
        bound: AtMost(1.5),
        cases: |rows| rows.ours("storm", "storm p99 / quiet p99", any),
    },
    Target {
        name: "P6",
        claim: "storm p99.99 at least 10x better than a swept dashmap's",
        bound: AtLeast(10.0),
        cases: against_the_swept,
    },
    Target {
        name: "P7",
        claim: "at most 96 bytes a session over key and value",
        bound: AtMost(96.0),
        cases: |rows| rows.ours("memory", "B/session over key and value", any),
    },
    Target {
        name: "P7",
        claim: "an empty cache of a million: at most 64 KiB",
        bound: AtMost(64.0),
        cases: |rows| rows.ours("empty", "KiB", any),
    },
    Target {
        name: "P8",
        claim: "expiring costs at most 250 ns of processor a session",
        bound: AtMost(250.0),
        cases: |rows| rows.ours("expire-cost", "ns/session to freed", any),
    },
    Target {
        name: "P8",
        claim: "no wake-ups with nothing due",
        bound: AtMost(0.0),
        cases: |rows| rows.ours("idle", "wake-ups/s", any),
    },
    Target {
        name: "P9",
        claim: "growth of a read's cost, by the best plain map's: at most 1",
        bound: AtMost(1.0),
        cases: growth,
    },
    Target {
        name: "P10",
        claim: "longest stop at most 2 ms of own processor time",
        bound: AtMost(2.0),
        cases: |rows| rows.ours("stops", "longest ms", any),
    },
    Target {
        name: "P11",
        claim: "readers beside a stopped writer: p99.9 in ns, all of them return",
        bound: AtMost(100_000.0),
        cases: |rows| rows.ours("blocked", "p99.9 ns, writer stopped", any),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Spread;

    fn read(peer: &str, threads: &str, ratio: f64) -> Row {
        let case = [
            ("popularity", String::from("zipf 0.99")),
            ("sessions", String::from("1000000")),
            ("threads", String::from(threads)),
        ];
        Row::new("reads", &case, peer).compared("Mops/s", Spread::from(1.0), Spread::from(ratio))
    }

    #[test]
    fn the_worst_case_decides() {
        let rows = vec![
            read("moka", "1", 7.0),
            read("moka, LRU", "2", 5.0),
            read("quick_cache", "2", 1.4),
        ];
        let text = markdown(&[(Run::here(), rows)]);
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("| P1")).collect();
        assert!(lines[0].contains("5.00") && lines[0].contains("**not met**"), "{text}");
        assert!(lines[1].contains("not measured"), "{text}");
        assert!(lines[2].contains("1.40") && lines[2].contains(" met"), "{text}");
    }

    #[test]
    fn growth_is_compared_with_the_map_that_grows_least() {
        let row = |peer: &str, factor: f64| {
            Row::new("growth", &[], peer).figure("times as dear", Spread::from(factor))
        };
        let rows = [row("sundown", 6.0), row("dashmap", 4.0), row("scc", 3.0)];
        let rows = Rows(rows.iter().collect());
        assert_eq!(growth(&rows), [(String::new(), 2.0)]);
    }
}
