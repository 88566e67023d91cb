//! A store of the tests' own, which pauses, fails, is given up and reorders at every await.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;

use super::{Error, Id, Record, Result, SessionStore};

/// Rows as a database has them, and what it is to do to the calls.
#[derive(Clone, Default)]
pub(super) struct Db(pub(super) Arc<Mutex<Rows>>);

#[derive(Default)]
pub(super) struct Rows {
    pub(super) rows: HashMap<Id, Record>,
    /// What was committed, in its order: values of `v`.
    pub(super) log: Vec<u64>,
    pub(super) faults: VecDeque<Fault>,
    /// Writes whose caller has gone, and which may still come.
    pub(super) in_the_air: Vec<Write>,
    pub(super) writes: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Write {
    Save(Record),
    Delete(Id),
}

/// What happens to a call.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Fault {
    pub(super) waits_before: u8,
    pub(super) waits_after: u8,
    /// Fails before it has an effect, or after.
    pub(super) fails: Option<bool>,
    /// Whether a write that is given up may come later.
    pub(super) is_sent: bool,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Db")
    }
}

async fn wait(times: u8) {
    for _ in 0..times {
        let mut has_waited = false;
        std::future::poll_fn(|_| {
            let is_ready = std::mem::replace(&mut has_waited, true);
            if is_ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// A write on its way: it may arrive though its caller has gone.
struct OnItsWay<'d> {
    db: &'d Db,
    write: Option<Write>,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if let Some(write) = self.write.take() {
            self.db.0.lock().unwrap().in_the_air.push(write);
        }
    }
}

impl Db {
    fn fault(&self) -> Fault {
        self.0.lock().unwrap().faults.pop_front().unwrap_or_default()
    }

    pub(super) fn row(&self, id: &Id) -> Option<Record> {
        self.0.lock().unwrap().rows.get(id).cloned()
    }

    pub(super) fn commit(&self, write: &Write) {
        let mut rows = self.0.lock().unwrap();
        rows.writes += 1;
        match write {
            Write::Save(record) => {
                rows.log.extend(record.data.get("v").and_then(|v| v.as_u64()));
                rows.rows.insert(record.id, record.clone());
            }
            Write::Delete(id) => drop(rows.rows.remove(id)),
        }
    }

    pub(super) fn land(&self) {
        let write = self.0.lock().unwrap().in_the_air.pop();
        if let Some(write) = write {
            self.commit(&write);
        }
    }

    async fn write(&self, write: Write) -> Result<()> {
        let fault = self.fault();
        let mut sent = OnItsWay { db: self, write: fault.is_sent.then(|| write.clone()) };
        wait(fault.waits_before).await;
        sent.write = None;
        if fault.fails == Some(false) {
            return Err(Error::Backend("refused".into()));
        }
        self.commit(&write);
        wait(fault.waits_after).await;
        if fault.fails == Some(true) {
            return Err(Error::Backend("lost".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl SessionStore for Db {
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.write(Write::Save(record.clone())).await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        self.write(Write::Save(record.clone())).await
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let fault = self.fault();
        wait(fault.waits_before).await;
        let row = self.row(id);
        wait(fault.waits_after).await;
        if fault.fails.is_some() { Err(Error::Backend("lost".into())) } else { Ok(row) }
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.write(Write::Delete(*id)).await
    }
}
