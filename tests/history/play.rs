//! Calls a cache and writes down what it said.

use super::canary::{Key, Name, Registry, Value};
use super::model::{Entrance, Ms, NEVER, Span};
use super::program::{Act, Dice, Setup};
use super::record::{Call, Log, What};
use super::stage::{Sessions, millis};
use std::sync::Arc;
use std::time::Duration;
use sundown::{Expiry, Lifetime, ManualClock, Rejected};

/// One thread's view of the stage.
#[derive(Clone)]
pub(crate) struct Player {
    pub(crate) cache: Sessions,
    pub(crate) clock: ManualClock,
    pub(crate) log: Arc<Log>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) setup: Setup,
}

impl Player {
    pub(crate) fn act(&self, act: Act) {
        match act {
            Act::Insert { key, weight } => self.offer(None, key, weight, Span::default()),
            Act::Offer { entrance, key, weight, span } => {
                self.offer(Some(entrance), key, weight, span);
            }
            Act::Update { key, weight } => self.update(key, weight),
            Act::Retain { is_even } => self.retain(is_even),
            Act::ForEach => self.walk(|shown| {
                self.cache.for_each(|key, value| shown.push((key.name(), value.serial(), false)));
            }),
            Act::Stats => drop(self.cache.stats()),
            Act::Audit => {
                if let Err(error) = self.cache.audit() {
                    self.registry.fault(format!("audit: {error}"));
                }
            }
            Act::Reap => drop(self.cache.reap()),
            Act::Clear => self.everywhere(&[What::Clear], || self.cache.clear()),
            Act::Close => self.everywhere(&[What::Bar, What::Close], || self.cache.close()),
            Act::Advance(ms) => {
                self.clock.advance(Duration::from_millis(ms));
                let now_ms = millis(&self.clock);
                self.log.with(|history| history.times_ms.push(now_ms));
            }
            _ => self.act_on_one(act),
        }
        self.check_caps();
    }

    fn act_on_one(&self, act: Act) {
        let cache = &self.cache;
        let serial = |value: &Value| value.serial();
        match act {
            Act::Get(key) => self.observe(key, || {
                let shown = cache.get(&Name(key)).as_ref().map(serial);
                What::Look { is_use: true, shown }
            }),
            Act::Read(key) => self.observe(key, || {
                let shown = cache.read(&Name(key), serial);
                What::Look { is_use: true, shown }
            }),
            Act::Peek(key) => self.observe(key, || {
                let shown = cache.peek(&Name(key)).as_ref().map(serial);
                What::Look { is_use: false, shown }
            }),
            Act::ContainsKey(key) => self.observe(key, || {
                let is_there = cache.contains_key(&Name(key));
                What::Presence { is_use: false, is_there }
            }),
            Act::Touch(key) => self.observe(key, || {
                let is_there = cache.touch(&Name(key));
                What::Presence { is_use: true, is_there }
            }),
            Act::ExpiresIn(key) => self.observe(key, || {
                What::Expiry(cache.expires_in(&Name(key)).map(|expiry| match expiry {
                    Expiry::In(left) => left.as_millis() as Ms,
                    _ => NEVER,
                }))
            }),
            Act::Remove(key) => {
                self.observe(key, || What::Remove(cache.remove(&Name(key)).as_ref().map(serial)))
            }
            Act::Discard(key) => {
                self.observe(key, || What::Discard(cache.discard(&Name(key))));
            }
            Act::RemoveIf { key, is_even } => self.observe(key, || {
                let mut seen = None;
                let is_removed = cache.remove_if(&Name(key), |_, value| {
                    let serial = value.serial();
                    let is_doomed = (serial % 2 == 0) == is_even;
                    seen = Some((serial, is_doomed));
                    is_doomed
                });
                What::RemoveIf { seen, is_removed }
            }),
            Act::SetLifetime { key, span } => self.observe(key, || {
                let is_set = cache.set_lifetime(&Name(key), lifetime(span));
                What::SetLifetime { span, is_set }
            }),
            _ => unreachable!("{act:?} is not on one key"),
        }
    }

    /// What a listener does that calls back.
    pub(crate) fn act_in_listener(&self, dice: &mut Dice) {
        let key = (dice.roll() % u64::from(self.setup.keys)) as u8;
        self.act(match dice.roll() % 6 {
            0 => Act::Insert { key, weight: 1 },
            1 => Act::Offer { entrance: Entrance::IfAbsent, key, weight: 2, span: Span::default() },
            2 => Act::Discard(key),
            3 => Act::Reap,
            4 => Act::Get(key),
            _ => Act::Update { key, weight: 1 },
        });
    }

    /// `None` is plain `insert`, which takes no lifetime.
    fn offer(&self, entrance: Option<Entrance>, key: u8, weight: u64, span: Span) {
        let serial = self.log.next_serial();
        self.observe(key, || {
            let value = Value::new(serial, weight, &self.registry);
            let (new, cache, lifetime) =
                (Key::new(key, &self.registry), &self.cache, lifetime(span));
            let offered = match entrance {
                None => cache.insert(new, value),
                Some(Entrance::Any) => cache.insert_for(new, value, lifetime),
                Some(Entrance::IfAbsent) => cache.insert_if_absent(new, value, lifetime),
                Some(Entrance::Replace) => cache.replace(new, value, lifetime),
            };
            let refused = offered.err().map(|rejected| self.take_back(&rejected, key, serial));
            let entrance = entrance.unwrap_or(Entrance::Any);
            What::Offer { entrance, serial, weight, span, refused }
        });
    }

    fn take_back(&self, rejected: &Rejected<Key, Value>, key: u8, serial: u32) -> sundown::Reason {
        let back = (rejected.key.name(), rejected.value.serial());
        if back != (key, serial) {
            self.registry.fault(format!("{back:?} was handed back for {:?}", (key, serial)));
        }
        rejected.reason
    }

    fn update(&self, key: u8, weight: u64) {
        self.observe(key, || {
            let (mut seen, mut serial) = (None, 0);
            let mut result = self.cache.update(&Name(key), |old: &Value| {
                seen = Some(old.serial());
                serial = self.log.next_serial();
                Value::new(serial, weight, &self.registry)
            });
            let result = match &mut result {
                Ok(is_updated) => Ok(*is_updated),
                Err(rejected) => Err(self.take_back(rejected, key, serial)),
            };
            What::Update { serial, weight, seen, result }
        });
    }

    fn retain(&self, is_even: bool) {
        self.walk(|shown| {
            let removed = self.cache.retain(|key, value| {
                let serial = value.serial();
                let is_doomed = (serial % 2 == 0) == is_even;
                shown.push((key.name(), serial, is_doomed));
                !is_doomed
            });
            self.log.with(|history| history.retained_out += removed as u64);
        });
    }

    /// A call that shows all sessions: for each key what was shown, if anything was (H5).
    fn walk(&self, call: impl FnOnce(&mut Vec<(u8, u32, bool)>)) {
        let mut shown = Vec::new();
        let ((), mut frame) = self.frame(|| call(&mut shown));
        for key in 0..self.setup.keys {
            let here = shown.iter().filter(|&&(other, ..)| other == key);
            let mut here: Vec<_> =
                here.map(|&(_, serial, is_doomed)| Some((serial, is_doomed))).collect();
            if here.is_empty() {
                here.push(None);
            }
            if (1..here.len()).any(|at| here[..at].contains(&here[at])) {
                self.registry.fault(format!("a session of key {key} was shown twice"));
            }
            frame.key = key;
            for shown in here {
                frame.what = What::Walk { shown };
                self.log.with(|history| history.calls.push(frame.clone()));
            }
        }
    }

    fn everywhere(&self, steps: &[What], call: impl FnOnce()) {
        let ((), mut frame) = self.frame(call);
        for key in 0..self.setup.keys {
            for what in steps {
                frame.key = key;
                frame.what = what.clone();
                self.log.with(|history| history.calls.push(frame.clone()));
            }
        }
    }

    fn observe(&self, key: u8, call: impl FnOnce() -> What) {
        let (what, frame) = self.frame(call);
        self.log.with(|history| history.calls.push(Call { key, what, ..frame }));
    }

    /// Where a call lies in time.
    fn frame<R>(&self, call: impl FnOnce() -> R) -> (R, Call) {
        let (from_ms, invoked) = (millis(&self.clock), self.log.tick());
        let result = call();
        let (returned, to_ms) = (self.log.tick(), millis(&self.clock));
        (result, Call { key: 0, invoked, returned, from_ms, to_ms, what: What::Clear })
    }

    /// G3, as seen between two calls.
    fn check_caps(&self) {
        let limits = self.setup.limits;
        let (entries, weight) = (self.cache.len(), self.cache.weight());
        if limits.max_entries.is_some_and(|most| entries > most)
            || limits.max_weight.is_some_and(|most| weight > most)
        {
            self.registry.fault(format!("over the cap: {entries} entries, {weight} weight"));
        }
    }
}

fn lifetime(span: Span) -> Lifetime {
    let lifetime = match span.live_ms {
        None => Lifetime::default(),
        Some(NEVER) => Lifetime::default().live_forever(),
        Some(ms) => Lifetime::default().live(Duration::from_millis(ms)),
    };
    match span.idle_ms {
        None => lifetime,
        Some(NEVER) => lifetime.idle_forever(),
        Some(ms) => lifetime.idle(Duration::from_millis(ms)),
    }
}
