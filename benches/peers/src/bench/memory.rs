//! Requested heap over key and value, with time to live, time to idle, eviction and weight all on
//! where a store has them; and what is still held when the call that drops the store returns.
//!
//! Each store is measured in a process of its own. Some free in threads of their own after they were
//! dropped, and the next one must not be credited with that.

use std::env;
use std::io;
use std::process::Command;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::Common;
use crate::measure::{Spread, heap};
use crate::peers::{Peer, Settings};
use crate::report::{Journal, Row};
use crate::workload::Key;

/// What a process of its own is to do.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// Measure one store of this kind in this process, and print its row as JSON.
    #[arg(long, hide = true)]
    alone: Option<Store>,
}

/// The kinds of stores.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Store {
    /// With room, and nothing in it.
    Empty,
    /// Full, of keys of 16 bytes inline.
    U128,
    /// Full, of keys of 32 bytes on the heap.
    String,
}

pub(super) fn run(common: &Common, options: &Options, journal: &mut Journal) -> io::Result<()> {
    let peers = common.peers(&Peer::CACHES_AND_MAPS);
    if let Some(store) = options.alone {
        let sessions = common.sessions(&[], &[]);
        let (&[peer], &[sessions]) = (&peers[..], &sessions[..]) else {
            return Err(io::Error::other("one peer and one size at a time"));
        };
        return Ok(serde_json::to_writer(io::stdout(), &measure(peer, store, sessions))?);
    }
    let record = |store: Store, sessions: usize, journal: &mut Journal| {
        let rows = peers.iter().map(|&peer| in_own_process(peer, store, sessions));
        journal.record(rows.collect::<io::Result<_>>()?)
    };
    record(Store::Empty, common.pick(10_000, 1_000_000), journal)?;
    for sessions in common.sessions(&[10_000], &[1_000_000, 10_000_000]) {
        record(Store::U128, sessions, journal)?;
        record(Store::String, sessions, journal)?;
    }
    Ok(())
}

fn in_own_process(peer: Peer, store: Store, sessions: usize) -> io::Result<Row> {
    let (peer, store) = (peer.to_possible_value(), store.to_possible_value());
    let name = |value: &Option<clap::builder::PossibleValue>| {
        value.as_ref().map_or_else(String::new, |value| value.get_name().to_owned())
    };
    let output = Command::new(env::current_exe()?)
        .args(["memory", "--alone", &name(&store), "--peers", &name(&peer)])
        .args(["--sessions", &sessions.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn measure(peer: Peer, store: Store, sessions: usize) -> Row {
    heap::count();
    match store {
        Store::Empty => empty_store(peer, sessions),
        Store::U128 => full_store::<u128>(peer, sessions),
        Store::String => full_store::<String>(peer, sessions),
    }
}

fn settings(sessions: usize) -> Settings {
    Settings { weight: Some(64), ..Settings::service(sessions) }
}

/// What a store takes that has room for some sessions, and none.
fn empty_store(peer: Peer, sessions: usize) -> Row {
    // Whatever the process needs once has been requested before the count.
    drop(peer.build::<u128, Arc<[u8; 64]>>(&settings(1_000)));
    let before = heap::requested_bytes();
    let store = peer.build::<u128, Arc<[u8; 64]>>(&settings(sessions));
    let bytes = heap::requested_bytes() - before;
    drop(store);
    Row::new("empty", &[("room for", sessions.to_string())], peer)
        .figure("KiB", Spread::from(bytes as f64 / 1_024.0))
}

fn full_store<K: Key>(peer: Peer, sessions: usize) -> Row {
    let before = heap::requested_bytes();
    let store = peer.build(&settings(sessions));
    for n in 0..sessions {
        store.insert(K::nth(n), Arc::new([0_u8; 64]));
    }
    store.settle();
    let bytes = heap::requested_bytes() - before;
    let held = (0..sessions).filter(|&n| store.get(&K::nth(n)).is_some()).count();
    drop(store);
    let left = heap::requested_bytes() - before;
    let own = held * (size_of::<K>() + K::HEAP_BYTES + VALUE_BYTES);
    let over = (bytes - own as isize) as f64 / held as f64;
    let case = [("keys", K::NAME.to_owned()), ("sessions", sessions.to_string())];
    Row::new("memory", &case, peer)
        .figure("B/session over key and value", Spread::from(over))
        .figure("held %", Spread::from(100.0 * held as f64 / sessions as f64))
        .figure("KiB left by drop", Spread::from(left as f64 / 1_024.0))
}

/// The pointer, two counts, and the 64 bytes.
const VALUE_BYTES: usize = 8 + 16 + 64;
