//! Where and when a run took place.

use std::env;
use std::fs;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

/// What must stand beside every table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    date: String,
    command: String,
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    versions: String,
}

impl Run {
    /// Which of [`ALLOCATORS`] everybody had.
    pub(super) fn allocator(&self) -> &'static str {
        let [system, mimalloc] = ALLOCATORS;
        if self.command.contains(mimalloc) { mimalloc } else { system }
    }

    /// This process, on this machine, now.
    pub fn here() -> Self {
        let arguments: Vec<String> = env::args().skip(1).collect();
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            command: format!("cargo run --release {FEATURES}-- {}", arguments.join(" ")),
            processor: field_of("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: available_parallelism().map_or(1, usize::from),
            memory_gib: field_of("/proc/meminfo", "MemTotal")
                .and_then(|total| total.split_whitespace().next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib.div_ceil(1 << 20)),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |release| release.trim().to_owned()),
            versions: versions(include_str!("../../Cargo.lock")),
        }
    }

    /// As the heading of its tables.
    pub fn markdown(&self) -> String {
        let Self { date, command, processor, cores, memory_gib, kernel, versions } = self;
        format!(
            "\n## {date}\n\n`{command}`\n\n{processor}, {cores} cores, {memory_gib} GiB, \
             Linux {kernel}; {versions}.\n"
        )
    }
}

/// The bytes of memory that nobody uses, if the kernel tells.
pub fn available_bytes() -> Option<u64> {
    let available = field_of("/proc/meminfo", "MemAvailable")?;
    Some(available.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

fn unknown() -> String {
    String::from("unknown")
}

/// The value after the colon of the first line that begins with `name`.
fn field_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The versions of the peers, out of the lock file.
fn versions(lock: &str) -> String {
    let mut versions = Vec::new();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("name = ") else { continue };
        let name = name.trim_matches('"');
        if let (true, Some(version)) = (PEERS.contains(&name), lines.next()) {
            let version = version.trim_start_matches("version = ").trim_matches('"');
            // An older one is a dependency of another peer, and stands before it.
            versions.retain(|(known, _)| *known != name);
            versions.push((name, version));
        }
    }
    let versions: Vec<String> =
        versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    versions.join(", ")
}

/// The system's own, and that of the feature of the same name.
pub(super) const ALLOCATORS: [&str; 2] = ["system", "mimalloc"];
/// What of the command decides on the allocator.
const FEATURES: &str = if cfg!(feature = "mimalloc") { "--features mimalloc " } else { "" };
const PEERS: [&str; 10] = [
    "ahash",
    "dashmap",
    "fibre_cache",
    "lru",
    "mini-moka",
    "moka",
    "papaya",
    "quick_cache",
    "scc",
    "sundown",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"libc\"\nversion = \"0.2\"\n\n[[package]]\n\
                    name = \"moka\"\nversion = \"0.12.15\"\n\n[[package]]\n\
                    name = \"moka\"\nversion = \"0.12.16\"\n";
        assert_eq!(versions(lock), "moka 0.12.16");
        assert!(Run::here().versions.contains("quick_cache"));
    }
}
