//! Writes the seeds that the fuzzer starts from: `corpus/<target>/seed-<number>`, the same each time.
//!
//! Any bytes are a history, so a seed is random bytes, but for the first two, which choose the
//! configuration.

use std::path::Path;
use std::{fs, io};

const TARGETS: [&str; 6] =
    ["cache_ops", "sessions_ops", "ledger_ops", "wheel_vs_btree", "index_ops", "snapshot_decode"];
/// Five for each of the cache's thirteen configurations.
const SEEDS: u8 = 65;
/// Every step is followed by a check of everything: more and shorter histories see more.
const MOST_OPS: usize = 100;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in TARGETS {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        let mut state = 0x5eed;
        for number in 0..SEEDS {
            let ops = MOST_OPS * (usize::from(number) + 1) / usize::from(SEEDS);
            let mut bytes = vec![number; 2];
            bytes.extend((0..4 * ops).map(|_| next(&mut state)));
            fs::write(folder.join(format!("seed-{number:02}")), bytes)?;
        }
        println!("{SEEDS} seeds in {}", folder.display());
    }
    Ok(())
}

/// A linear congruential generator, Knuth's constants; its high bits are the good ones.
fn next(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 56) as u8
}
