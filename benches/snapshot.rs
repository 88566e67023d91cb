//! A warm restart of a million sessions: how long it takes to write them and to restore them, how fast the disk
//! itself is, and how long insertions wait meanwhile.
//!
//! `cargo bench --features snapshot --bench snapshot`

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use sundown::Cache;

const SESSIONS: u64 = 1_000_000;
const VALUE_BYTES: usize = 256;

type Sessions = Cache<u128, Vec<u8>>;

fn settings() -> sundown::Builder<u128, Vec<u8>> {
    Cache::builder()
        .max_entries(SESSIONS as usize + 100_000)
        .time_to_idle(Duration::from_secs(1_800))
        .time_to_live(Duration::from_secs(43_200))
}

fn key_of(number: u64) -> u128 {
    u128::from(number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

fn encode(key: &u128, value: &[u8]) -> Result<Vec<u8>, ()> {
    let mut bytes = Vec::with_capacity(16 + value.len());
    bytes.extend_from_slice(&key.to_le_bytes());
    bytes.extend_from_slice(value);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<(u128, Vec<u8>), ()> {
    let (key, value) = bytes.split_first_chunk().ok_or(())?;
    Ok((u128::from_le_bytes(*key), value.to_vec()))
}

fn main() {
    // `cargo test` runs benches, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder =
        std::env::var_os("SUNDOWN_BENCH_FOLDER").map_or_else(std::env::temp_dir, Into::into);
    let path = folder.join(format!("sundown-bench-{}", std::process::id()));
    let sessions = settings().build().expect("it builds");
    for number in 0..SESSIONS {
        let value = vec![number as u8; VALUE_BYTES];
        sessions.insert(key_of(number), value).expect("there is room");
    }
    for round in 1..=3 {
        let (bytes, alone) = write(&sessions, &path);
        let disk = write_plain(&path.with_extension("plain"), bytes);
        let (_, beside, waits) = write_beside(&sessions, &path);
        let begun = Instant::now();
        let (restored, report) = settings().restore(&path, decode).expect("it builds");
        let restore = begun.elapsed();
        assert_eq!(report.refused, 0, "{report}");
        assert!(report.admitted >= SESSIONS, "{report}");
        drop(restored);
        println!(
            "round {round}: {} MiB; written in {alone:.2?}, beside insertions in {beside:.2?}, as zeros in \
             {disk:.2?}; restored in {restore:.2?}",
            bytes >> 20
        );
        println!("round {round}: insertions meanwhile took {waits}");
    }
    let consumed = format!("{}.consumed", path.display());
    std::fs::remove_file(consumed).expect("it was restored");
}

fn write(sessions: &Sessions, path: &Path) -> (u64, Duration) {
    let begun = Instant::now();
    let written = sessions
        .snapshot(path, |key, value| encode(key, value))
        .expect("there is room on the disk");
    (written.bytes, begun.elapsed())
}

/// What the disk takes for as much.
fn write_plain(path: &Path, bytes: u64) -> Duration {
    let piece = vec![0; 256 << 10];
    let begun = Instant::now();
    let mut file = File::create(path).expect("it can be made");
    for _ in 0..bytes / piece.len() as u64 {
        file.write_all(&piece).expect("there is room on the disk");
    }
    file.sync_all().expect("it is synced");
    let took = begun.elapsed();
    std::fs::remove_file(path).expect("it is there");
    took
}

/// The same while another thread inserts; tells how long that took, p50, p99.9 and at most.
fn write_beside(sessions: &Sessions, path: &Path) -> (u64, Duration, String) {
    let is_done = AtomicBool::new(false);
    let mut waits: Vec<Duration> = Vec::with_capacity(1 << 24);
    let (bytes, took) = scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            // Relaxed: a flag.
            while !is_done.load(Ordering::Relaxed) && waits.len() < 1 << 24 {
                number = (number + 7_919) % SESSIONS;
                let value = vec![number as u8; VALUE_BYTES];
                let begun = Instant::now();
                sessions.insert(key_of(number), value).expect("it is there already");
                waits.push(begun.elapsed());
            }
        });
        let written = write(sessions, path);
        // Relaxed: a flag.
        is_done.store(true, Ordering::Relaxed);
        written
    });
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    let [half, most, all] = [0.5, 0.999, 1.0].map(at);
    (
        bytes,
        took,
        format!("{half:.1?} (p50), {most:.1?} (p99.9), {all:.1?} (max of {})", waits.len()),
    )
}
