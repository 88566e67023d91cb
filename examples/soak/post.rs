//! A post: whoever is on it calls the cache without a pause, and believes nothing that it is shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sundown::Rejected;

use crate::house::{House, Tally};
use crate::session::{Bounds, Life, Session, now};
use crate::traffic::{Call, EVERYBODYS, Opening, Spell, Traffic, place_of};

#[derive(Debug)]
pub(crate) struct Post<'h> {
    house: &'h House,
    number: usize,
    traffic: &'h mut Traffic,
    tally: Tally,
}

impl<'h> Post<'h> {
    pub(crate) fn new(house: &'h House, number: usize, traffic: &'h mut Traffic) -> Self {
        Self { house, number, traffic, tally: Tally::default() }
    }

    /// Makes the calls of a spell, or as many as there is time for.
    pub(crate) fn serve(&mut self, spell: Spell, stop: &AtomicBool) {
        self.open(spell.opening);
        for _ in 0..spell.calls {
            if stop.load(Relaxed) {
                break;
            }
            let (key, call) = self.traffic.call(spell.mood);
            self.call(key, call);
            self.tally.calls += 1;
        }
        self.house.add(std::mem::take(&mut self.tally));
    }

    fn open(&mut self, opening: Opening) {
        let (house, before) = (self.house, now());
        match opening {
            Opening::Nothing => {}
            Opening::ForEach => {
                house.cache.for_each(|&key, session| self.see(key, before, session))
            }
            Opening::Retain => {
                house.cache.retain(|&key, session| {
                    self.see(key, before, session);
                    key % 8 != 0
                });
            }
            Opening::Clear => house.cache.clear(),
        }
    }

    fn call(&mut self, key: u64, call: Call) {
        let house = self.house;
        let cache = &house.cache;
        match call {
            Call::Get | Call::Read | Call::Touch => self.use_it(key, call),
            Call::Peek => {
                let before = now();
                if let Some(session) = cache.peek(&key) {
                    self.see(key, before, &session);
                }
            }
            Call::ContainsKey => _ = cache.contains_key(&key),
            Call::ExpiresIn => _ = cache.expires_in(&key),
            Call::Insert(life, body) => {
                self.put(key, life, body, |session| {
                    cache.insert_for(key, session, life.lifetime())
                });
            }
            Call::InsertIfAbsent(life, body) => {
                self.put(key, life, body, |session| {
                    cache.insert_if_absent(key, session, life.lifetime())
                });
            }
            Call::Replace(life, body) => {
                self.put(key, life, body, |session| cache.replace(key, session, life.lifetime()));
            }
            Call::Update => self.update(key),
            Call::SetLifetime(life) => self.restart(key, life),
            Call::Remove => {
                let before = now();
                if let Some(session) = cache.remove(&key) {
                    self.see(key, before, &session);
                }
            }
            Call::RemoveIf => _ = cache.remove_if(&key, |_, session| session.weight() % 2 == 0),
            Call::Discard => _ = cache.discard(&key),
        }
    }

    /// Calls what touches a session, and notes the touch.
    fn use_it(&mut self, key: u64, call: Call) {
        let house = self.house;
        let _entry = house.board.enter(self.number, key);
        let before = now();
        let is_hit = match call {
            Call::Read => {
                let look = |session: &Arc<Session>| {
                    self.see(key, before, session);
                    session.bounds.used(now());
                };
                house.cache.read(&key, look).is_some()
            }
            Call::Get => {
                let session = house.cache.get(&key);
                if let Some(session) = &session {
                    self.see(key, before, session);
                    session.bounds.used(now());
                }
                session.is_some()
            }
            _ => {
                let is_hit = house.cache.touch(&key);
                // If another session has taken its place, that one is granted more than it has.
                if let Some(session) = house.cache.peek(&key).filter(|_| is_hit) {
                    session.bounds.used(now());
                }
                is_hit
            }
        };
        self.tally.hits += u64::from(is_hit);
        self.tally.misses += u64::from(!is_hit);
    }

    fn put(
        &mut self,
        key: u64,
        life: Life,
        body: usize,
        put: impl FnOnce(Arc<Session>) -> Result<(), Rejected<u64, Arc<Session>>>,
    ) {
        let bounds = Bounds::open(life);
        let session = Session::new(key, Arc::clone(&bounds), body, &self.house.witness);
        let _entry = self.house.board.enter(self.number, key);
        if put(session).is_ok() {
            bounds.begin(now(), life);
            self.tally.taken += 1;
        } else {
            self.tally.refused += 1;
        }
    }

    fn update(&mut self, key: u64) {
        let _entry = self.house.board.enter(self.number, key);
        match self.house.cache.update(&key, |old| old.renewed()) {
            Ok(is_updated) => self.tally.taken += u64::from(is_updated),
            Err(_) => self.tally.refused += 1,
        }
    }

    /// Gives one of the post's own sessions another life.
    fn restart(&mut self, key: u64, life: Life) {
        debug_assert_ne!(place_of(key), EVERYBODYS, "two might set two lives at once");
        let _entry = self.house.board.enter(self.number, key);
        if self.house.cache.set_lifetime(&key, life.lifetime()) {
            let now = now();
            if let Some(session) = self.house.cache.peek(&key) {
                session.bounds.restart(now, life);
            }
        }
    }

    /// Looks at a session that a call begun at `before` has shown.
    fn see(&self, key: u64, before: u64, session: &Session) {
        if !session.is_of(key) {
            let finding = format!("key {key:x} showed the session of {:x}", session.key);
            self.house.accuse("no session is mixed up", finding);
        }
        if self.house.board.is_late(&session.bounds, before, key, self.number) {
            let late = now().saturating_sub(session.bounds.until()) / 1_000;
            let finding = format!("key {key:x} was shown {late} µs after its deadline");
            self.house.accuse("never served late", finding);
        }
    }
}
