//! A process that is killed between any two steps, and the one that starts after it.
//!
//! The child is this very test binary: it stops at the step that it is told, and the parent kills it there.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::file::Step;
use super::tests::{Folder, at, builder, decode, encode};
use crate::platform::clock::ManualClock;

const PATH: &str = "SUNDOWN_SNAPSHOT_PATH";
const WORK: &str = "SUNDOWN_SNAPSHOT_WORK";
const STOP: &str = "SUNDOWN_SNAPSHOT_STOP";

/// What the parent runs; nothing else.
#[test]
fn child() {
    let Ok(path) = std::env::var(PATH) else { return };
    let stop: usize = std::env::var(STOP).unwrap().parse().unwrap();
    let (seen, clock) = (Cell::new(0), ManualClock::new());
    let watch = |step: Step| {
        if seen.replace(seen.get() + 1) == stop {
            say(&format!("stopped {step:?}"));
            loop {
                std::thread::park();
            }
        }
    };
    let file = at(Path::new(&path), 0);
    match std::env::var(WORK).unwrap().as_str() {
        "write" => {
            let cache = builder(&clock).build().unwrap();
            (1..=3).for_each(|key| cache.insert(key, "new".into()).unwrap());
            cache.snapshot_watched(&file, encode, &watch).unwrap();
        }
        _ => drop(builder(&clock).restore_watched(&file, decode, &watch).unwrap()),
    }
    say("finished");
}

fn say(words: &str) {
    println!("\n{words}");
    std::io::stdout().flush().unwrap();
}

/// Runs the child up to a step and kills it there; tells which one it was, or none if it got to its end.
fn kill_at(path: &Path, work: &str, stop: usize) -> Option<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["snapshot::crash_tests::child", "--exact", "--nocapture"])
        .envs([(WORK, work), (STOP, &stop.to_string())])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let word = lines.map(Result::unwrap).find_map(|line| {
        (line == "finished")
            .then_some(None)
            .or_else(|| Some(Some(line.strip_prefix("stopped ")?.to_owned())))
    });
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    word.expect("the child says what it did")
}

/// The keys that the next process has.
fn restored(path: &Path) -> BTreeSet<u32> {
    let (cache, _) = builder(&ManualClock::new()).restore(at(path, 0), decode).unwrap();
    cache.audit().unwrap();
    let mut keys = BTreeSet::new();
    cache.for_each(|&key, _| _ = keys.insert(key));
    keys
}

fn write(path: &Path, keys: &[u32]) {
    let cache = builder(&ManualClock::new()).build().unwrap();
    keys.iter().for_each(|&key| cache.insert(key, "old".into()).unwrap());
    cache.snapshot(at(path, 0), encode).unwrap();
}

#[test]
fn a_writer_that_is_killed_leaves_a_whole_snapshot_or_none() {
    let (mut stop, mut seen) = (0, Vec::new());
    loop {
        let folder = Folder::new();
        let path = folder.path();
        write(&path, &[9]);
        let Some(step) = kill_at(&path, "write", stop) else { break };
        let keys = restored(&path);
        let expected: &[u32] = match step.as_str() {
            "RemoveOld" => &[9],
            "SyncFolder" | "Done" => &[1, 2, 3],
            _ => &[],
        };
        assert_eq!(keys, expected.iter().copied().collect(), "killed at {step}");
        assert!(restored(&path).is_empty(), "killed at {step}: not twice");
        // What was left aside is in nobody's way.
        write(&path, &[4, 5]);
        assert_eq!(restored(&path), [4, 5].into());
        (stop, _) = (stop + 1, seen.push(step));
    }
    let steps = ["RemoveOld", "Create", "Write", "Write", "Write", "Write", "Sync", "Rename"];
    assert_eq!(seen[..8], steps);
    assert_eq!(seen[8..], ["SyncFolder", "Done"]);
}

#[test]
fn a_reader_that_is_killed_brings_nobody_back_twice() {
    let (mut stop, mut seen) = (0, Vec::new());
    loop {
        let folder = Folder::new();
        let path = folder.path();
        write(&path, &[1, 2, 3]);
        let Some(step) = kill_at(&path, "read", stop) else { break };
        let keys = restored(&path);
        // Whoever was in may have logged out since.
        let expected: &[u32] = if seen.len() < 2 { &[1, 2, 3] } else { &[] };
        assert_eq!(keys, expected.iter().copied().collect(), "killed at {step}");
        (stop, _) = (stop + 1, seen.push(step));
    }
    let admits = ["Admit"; 4];
    let steps = [&["Read", "Consume", "SyncConsumed"], &admits[..], &["Done"]].concat();
    assert_eq!(seen, steps);
}
