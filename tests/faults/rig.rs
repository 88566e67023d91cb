//! Keys, values and the rest of the user's code, under watch: each call says where it is, and there
//! it can be made to panic or to stall; each key and value made must die exactly once.

use std::borrow::Borrow;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;
use sundown::{RemovalCause, WeakCache};

/// After this, something will never happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Weak = WeakCache<Key, Value, Hashing>;

/// Where a cache calls the user's code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Place {
    BuildHasher,
    Hash,
    Eq,
    Borrow,
    CloneKey,
    CloneValue,
    DropKey,
    DropValue,
    Weigher,
    Listener,
    Pressure,
    Read,
    Update,
    RemoveIf,
    Retain,
    ForEach,
}

impl Place {
    pub(crate) const ALL: [Self; 16] = [
        Self::BuildHasher,
        Self::Hash,
        Self::Eq,
        Self::Borrow,
        Self::CloneKey,
        Self::CloneValue,
        Self::DropKey,
        Self::DropValue,
        Self::Weigher,
        Self::Listener,
        Self::Pressure,
        Self::Read,
        Self::Update,
        Self::RemoveIf,
        Self::Retain,
        Self::ForEach,
    ];

    /// Called under a lock, as documented, so that it must not call the cache.
    fn is_under_a_lock(self) -> bool {
        matches!(self, Self::Eq | Self::Borrow)
    }

    /// Panicking here while another panic unwinds would abort the process, as everywhere in Rust.
    fn is_destructor(self) -> bool {
        matches!(self, Self::DropKey | Self::DropValue)
    }
}

/// What happens at which call.
pub(crate) enum Fault {
    None,
    /// The n-th call at a place panics.
    Once(Place, u64),
    /// Every n-th call of all panics.
    Every(u64),
    /// The next call at a place says so, and waits until it may go on.
    Stall(Place, mpsc::Sender<()>, mpsc::Receiver<()>),
}

/// What all user code of one cache shares.
pub(crate) struct Rig {
    fault: Mutex<Fault>,
    calls: AtomicU64,
    /// Panics planted so far.
    pub(crate) planted: AtomicU64,
    pub(crate) keys: Census,
    pub(crate) values: Census,
    /// The sessions that the listener was told of, by their values' numbers.
    events: Mutex<Vec<(usize, RemovalCause)>>,
    /// For calling back.
    pub(crate) cache: OnceLock<Weak>,
    /// How many hashes all keys share; 0 is one for each.
    hashes: u32,
}

impl Rig {
    pub(crate) fn new(hashes: u32) -> Arc<Self> {
        Arc::new(Self {
            fault: Mutex::new(Fault::None),
            calls: AtomicU64::new(0),
            planted: AtomicU64::new(0),
            keys: Census::default(),
            values: Census::default(),
            events: Mutex::default(),
            cache: OnceLock::new(),
            hashes,
        })
    }

    /// Sets what is to happen from now on, and gives what was set before.
    pub(crate) fn set(&self, fault: Fault) -> Fault {
        std::mem::replace(&mut *lock(&self.fault), fault)
    }

    pub(crate) fn planted(&self) -> u64 {
        self.planted.load(Ordering::SeqCst)
    }

    /// Called first thing by all user code.
    pub(crate) fn reach(&self, place: Place) {
        if !place.is_under_a_lock() {
            // It waits for every shard's lock, for ever if this is called under one.
            let _ = self.cache.get().and_then(WeakCache::upgrade).map(|cache| cache.stats());
        }
        let mut fault = lock(&self.fault);
        let is_planted = match &mut *fault {
            Fault::Once(at, left) if *at == place => {
                *left = left.saturating_sub(1);
                let is_now = *left == 0;
                if is_now {
                    *fault = Fault::None;
                }
                is_now
            }
            Fault::Every(n) => {
                let is_safe = !(place.is_destructor() && std::thread::panicking());
                is_safe && (self.calls.fetch_add(1, Ordering::Relaxed) + 1) % *n == 0
            }
            Fault::Stall(at, ..) if *at == place => {
                let stall = std::mem::replace(&mut *fault, Fault::None);
                drop(fault);
                if let Fault::Stall(_, inside, release) = stall {
                    inside.send(()).expect("somebody waits");
                    release.recv_timeout(PATIENCE).expect("it is released");
                }
                return;
            }
            _ => false,
        };
        drop(fault);
        if is_planted {
            self.planted.fetch_add(1, Ordering::SeqCst);
            resume_unwind(Box::new("planted"));
        }
    }

    /// The listener.
    pub(crate) fn hear(&self, key: Key, value: Value, cause: RemovalCause) {
        lock(&self.events).push((value.number, cause));
        self.reach(Place::Listener);
        drop((key, value));
    }

    /// The numbers of the values heard of so far.
    pub(crate) fn heard(&self) -> Vec<usize> {
        lock(&self.events).iter().map(|&(number, _)| number).collect()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often each of the numbered has died.
#[derive(Default)]
pub(crate) struct Census(Mutex<Vec<u8>>);

impl Census {
    fn is_born(&self) -> usize {
        let mut deaths = lock(&self.0);
        deaths.push(0);
        deaths.len() - 1
    }

    fn dies(&self, number: usize) {
        lock(&self.0)[number] += 1;
    }

    pub(crate) fn alive(&self) -> usize {
        lock(&self.0).iter().filter(|&&deaths| deaths == 0).count()
    }

    /// Who did not die exactly once.
    pub(crate) fn odd(&self) -> Vec<(usize, u8)> {
        let deaths = lock(&self.0);
        deaths.iter().copied().enumerate().filter(|&(_, deaths)| deaths != 1).collect()
    }
}

/// What keys are looked up by.
pub(crate) struct Id {
    pub(crate) number: u32,
    rig: Arc<Rig>,
}

impl Id {
    pub(crate) fn new(rig: &Arc<Rig>, number: u32) -> Self {
        Self { number, rig: Arc::clone(rig) }
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.rig.reach(Place::Eq);
        self.number == other.number
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rig.reach(Place::Hash);
        let seen = if self.rig.hashes == 0 { self.number } else { self.number % self.rig.hashes };
        seen.hash(state);
    }
}

#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) id: Id,
    life: Life,
}

impl Key {
    pub(crate) fn new(rig: &Arc<Rig>, number: u32) -> Self {
        Self { id: Id::new(rig, number), life: Life(rig.keys.is_born()) }
    }
}

/// A number in the census; it plays no part in who equals whom.
struct Life(usize);

impl PartialEq for Life {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Life {}

impl Hash for Life {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Borrow<Id> for Key {
    fn borrow(&self) -> &Id {
        self.id.rig.reach(Place::Borrow);
        &self.id
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        self.id.rig.reach(Place::CloneKey);
        Self::new(&self.id.rig, self.id.number)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.id.rig.keys.dies(self.life.0);
        self.id.rig.reach(Place::DropKey);
    }
}

pub(crate) struct Value {
    /// Tells values apart that stand for different sessions; clones share it.
    pub(crate) label: u32,
    pub(crate) weight: u64,
    pub(crate) number: usize,
    rig: Arc<Rig>,
}

impl Value {
    pub(crate) fn new(rig: &Arc<Rig>, label: u32, weight: u64) -> Self {
        Self { label, weight, number: rig.values.is_born(), rig: Arc::clone(rig) }
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.rig.reach(Place::CloneValue);
        Self::new(&self.rig, self.label, self.weight)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.rig.values.dies(self.number);
        self.rig.reach(Place::DropValue);
    }
}

/// The hasher's state, always the same so that every run makes the same calls.
pub(crate) struct Hashing(pub(crate) Arc<Rig>);

impl BuildHasher for Hashing {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.reach(Place::BuildHasher);
        DefaultHasher::new()
    }
}
