//! A cache for each tenant: what a thousand caches in one process cost, and how late their sessions go.
//!
//! `cargo bench --bench tenants`, or `-- CACHES EXPIRIES_PER_SECOND SECONDS`. Lag is counted by the value's
//! destructor, from the deadline on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sundown::{Cache, Lifetime};

struct Session {
    deadline: Instant,
    lags: Arc<Mutex<Vec<Duration>>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        let lag = self.deadline.elapsed();
        self.lags.lock().expect("nobody panics under it").push(lag);
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let caches = numbers.next().unwrap_or(1_000);
    let rate = numbers.next().unwrap_or(3_000);
    let seconds = numbers.next().unwrap_or(5);

    let bare = Figures::of_this_process();
    let build = |_| Cache::<u64, Session>::builder().max_entries(1_000).build().expect("it builds");
    let caches: Vec<_> = (0..caches).map(build).collect();
    let idle = Figures::of_this_process();
    std::thread::sleep(Duration::from_secs(1));
    let later = Figures::of_this_process();
    println!(
        "{} idle caches: {} threads, {:.1} KiB resident each, {:.1} ms of processor time a second",
        caches.len(),
        idle.threads - bare.threads,
        (idle.resident_kib - bare.resident_kib) as f64 / caches.len() as f64,
        (later.cpu - idle.cpu).as_secs_f64() * 1e3,
    );

    let lags = Arc::new(Mutex::new(Vec::with_capacity((rate * seconds) as usize)));
    let begun = Instant::now();
    let mut inserts = Vec::new();
    let is_over = AtomicBool::new(false);
    let worst_nap = std::thread::scope(|scope| {
        let napper = scope.spawn(|| worst_nap(&is_over));
        for number in 0..rate * seconds {
            let due = begun + Duration::from_nanos(number * 1_000_000_000 / rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let live = Duration::from_millis(100 + number * 7 % 400);
            let before = Instant::now();
            let session = Session { deadline: before + live, lags: lags.clone() };
            let lifetime = Lifetime::default().live(live);
            let cache = &caches[(number * 7_919) as usize % caches.len()];
            assert!(cache.insert_for(number, session, lifetime).is_ok(), "there is room");
            inserts.push(before.elapsed());
        }
        std::thread::sleep(Duration::from_secs(1));
        is_over.store(true, Ordering::Relaxed);
        napper.join().expect("it only naps")
    });
    let end = Figures::of_this_process();
    let mut lags = lags.lock().expect("nobody panics under it");
    println!(
        "{rate} expiries a second: lag {}, inserts {}, {:.3} cores, {} threads, {} of {} freed, a nap of \
         1 ms was {:.1} ms late at worst",
        percentiles(&mut lags),
        percentiles(&mut inserts),
        (end.cpu - later.cpu).as_secs_f64() / begun.elapsed().as_secs_f64(),
        end.threads - bare.threads,
        lags.len(),
        rate * seconds,
        worst_nap.as_secs_f64() * 1e3,
    );
}

fn worst_nap(is_over: &AtomicBool) -> Duration {
    let mut worst = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        worst = worst.max(begun.elapsed() - Duration::from_millis(1));
    }
    worst
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| at(share).as_secs_f64() * 1e3);
    format!("p50 {p50:.3} p99 {p99:.3} p99.9 {p999:.3} max {max:.3} ms")
}

/// What the system says of this process.
struct Figures {
    threads: u64,
    resident_kib: u64,
    cpu: Duration,
}

impl Figures {
    fn of_this_process() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("this bench needs Linux");
        let field = |name: &str| {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has it");
            let number = line.split_whitespace().next().expect("it has a value");
            number.parse().expect("it is a number")
        };
        let schedstat = |path: std::path::PathBuf| {
            let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0)
        };
        let tasks = std::fs::read_dir("/proc/self/task").expect("this bench needs Linux");
        let cpu_ns: u64 = tasks.flatten().map(|task| schedstat(task.path())).sum();
        Self {
            threads: field("Threads:"),
            resident_kib: field("VmRSS:"),
            cpu: Duration::from_nanos(cpu_ns),
        }
    }
}
