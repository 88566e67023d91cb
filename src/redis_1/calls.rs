//! The backend's calls, each of them one script.

use core::time::Duration;

use ::redis_1::{FromRedisValue, RedisError, Script, ScriptInvocation};
use async_trait::async_trait;
use tokio::time::sleep;

use super::RedisBackend;
use super::link::{is_fatal, outage};
use super::refused;
use super::reply::{Answer, Told, WRONG, facts, key_of, keys, left, stored};
use super::script::code;
use crate::fleet::{
    Backend, Created, Ended, Error, Key, Left, Origin, Revision, Saved, Stored, Watcher, Write,
};
use crate::sessions::OnLimit;

#[async_trait]
impl Backend for RedisBackend {
    async fn load(&self, key: &Key, is_use: bool) -> Result<Option<Stored>, Error> {
        let mut call = self.link.scripts.load.prepare_invoke();
        self.begin(&mut call, self.link.names.session(key)).arg(u8::from(is_use));
        let told: Option<Told> = self.run(&call).await?;
        self.trust(told.map(|told| stored(told, key)).transpose()).await
    }

    async fn create(&self, key: &Key, write: &Write) -> Result<Created, Error> {
        let create = &self.link.scripts.create;
        let (code, told, ended, _) = self.write(create, key, write, &[]).await?;
        match code {
            code::DONE => {
                let facts = self.trust(facts(told, key)).await?;
                Ok(Created::Done(facts, keys(ended)?))
            }
            code::TAKEN => Ok(Created::Taken),
            code::OVERTAKEN => Ok(Created::Overtaken),
            code::LIMIT => Ok(Created::LimitReached),
            code::REVOKED => Ok(Created::Revoked),
            code::LATE => Err(Error::TimedOut(self.link.options.latest_arrival)),
            _ => Err(UNKNOWN),
        }
    }

    async fn save(&self, key: &Key, expected: Revision, write: &Write) -> Result<Saved, Error> {
        let save = &self.link.scripts.save;
        let (code, told, ended, _) = self.write(save, key, write, expected.as_bytes()).await?;
        match (code, told) {
            (code::DONE, told) => {
                let facts = self.trust(facts(told, key)).await?;
                Ok(Saved::Done(facts, keys(ended)?))
            }
            (code::CONFLICT, Some(told)) => {
                Ok(Saved::Conflict(self.trust(stored(told, key)).await?))
            }
            (code::GONE, _) => Ok(Saved::Gone),
            (code::LIMIT, _) => Ok(Saved::LimitReached),
            (code::REVOKED, _) => Ok(Saved::Revoked),
            (code::LATE, _) => Err(Error::TimedOut(self.link.options.latest_arrival)),
            _ => Err(UNKNOWN),
        }
    }

    async fn delete(&self, key: &Key) -> Result<bool, Error> {
        let mut call = self.link.scripts.delete.prepare_invoke();
        self.begin(&mut call, self.link.names.session(key));
        self.run(&call).await
    }

    async fn touch(&self, key: &Key) -> Result<Option<Left>, Error> {
        let mut call = self.link.scripts.touch.prepare_invoke();
        self.begin(&mut call, self.link.names.session(key));
        let spans: Option<(i64, i64)> = self.run(&call).await?;
        Ok(spans.map(|(span, live)| left(span, live)))
    }

    async fn sessions_of(&self, principal: &Key) -> Result<Vec<(Key, Stored)>, Error> {
        let mut call = self.link.scripts.list.prepare_invoke();
        self.begin(&mut call, self.link.names.principal(principal));
        let list: Vec<Told> = self.run(&call).await?;
        let listed = list.into_iter().map(|told| {
            let key = key_of(&told.0)?;
            Ok((key, stored(told, &key)?))
        });
        listed.collect()
    }

    async fn revoke_all(&self, principal: &Key, except: Option<&Key>) -> Result<Ended, Error> {
        let issued = self.link.server_millis();
        let (mut ended, mut stamp) = self.revoke_as_of(issued, principal, except).await?;
        if ended.is_none() {
            // As in `write`.
            let drift = stamp.wrapping_sub(self.link.server_millis());
            let issued = issued.wrapping_add(drift);
            self.link.set_server_millis(stamp);
            (ended, stamp) = self.revoke_as_of(issued, principal, except).await?;
        }
        let ended = ended.ok_or(Error::TimedOut(self.link.options.latest_arrival))?;
        self.link.set_server_millis(stamp);
        // What this instance begins after this call is stated as after the stamp (R4), unless the server's
        // clock goes back just now.
        for _ in 0..MOST_NAPS {
            if self.link.server_millis() > stamp {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        keys(ended)
    }

    fn watch(&self, watcher: Watcher) -> bool {
        self.link.watch(watcher)
    }
}

impl RedisBackend {
    /// Begins a call with what all scripts take.
    fn begin<'c, 's>(
        &self,
        call: &'c mut ScriptInvocation<'s>,
        name: String,
    ) -> &'c mut ScriptInvocation<'s> {
        call.key(name).arg(&self.link.options.namespace).arg(self.tombstone_millis())
    }

    /// Creates a session, or saves one that has a revision.
    async fn write(
        &self,
        script: &Script,
        key: &Key,
        write: &Write,
        expected: &[u8],
    ) -> Result<Answer, Error> {
        let issued = self.link.server_millis();
        let answer = self.write_as_of(issued, script, key, write, expected).await?;
        let (code::LATE, _, _, now) = answer else { return Ok(answer) };
        // The server's clock was set, or this call is indeed late: once more as of when it was issued.
        let drift = now.wrapping_sub(self.link.server_millis());
        self.link.set_server_millis(now);
        self.write_as_of(issued.wrapping_add(drift), script, key, write, expected).await
    }

    /// Gives what was ended, unless the call was late, and the server's time.
    async fn revoke_as_of(
        &self,
        issued: u64,
        principal: &Key,
        except: Option<&Key>,
    ) -> Result<(Option<Vec<String>>, u64), Error> {
        let mut call = self.link.scripts.revoke.prepare_invoke();
        self.begin(&mut call, self.link.names.principal(principal))
            .arg(principal.to_string())
            .arg(except.map(Key::to_string).unwrap_or_default())
            .arg(issued.saturating_add(self.latest_millis()));
        self.run(&call).await
    }

    async fn write_as_of(
        &self,
        issued: u64,
        script: &Script,
        key: &Key,
        write: &Write,
        expected: &[u8],
    ) -> Result<Answer, Error> {
        let mut call = script.prepare_invoke();
        self.begin(&mut call, self.link.names.session(key))
            .arg(issued)
            .arg(issued.saturating_add(self.latest_millis()))
            .arg(expected);
        add_write(&mut call, write, !expected.is_empty());
        self.run(&call).await
    }

    fn latest_millis(&self) -> u64 {
        let latest = self.link.options.latest_arrival.as_millis();
        u64::try_from(latest).unwrap_or(MOST_MILLIS).min(MOST_MILLIS)
    }

    /// How long tombstones stay: longer than a creation may be late (R3).
    fn tombstone_millis(&self) -> u64 {
        self.latest_millis() + SLACK_MILLIS
    }

    /// Runs a script; once more on the next connection if this one is lost, for all of them may be repeated:
    /// by their revisions they are done once.
    async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Error> {
        let mut last = None;
        for _ in 0..MOST_ATTEMPTS {
            let incarnation = self.link.incarnation().await?;
            match call.invoke_async(&mut incarnation.connection()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if is_fatal(&error) => {
                    self.link.break_up(&incarnation);
                    last = Some(outage(&error));
                }
                Err(error) => return Err(kind_of(&error)),
            }
        }
        Err(last.unwrap_or(UNKNOWN))
    }

    /// Gives the connection up if an answer was another call's.
    async fn trust<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        if matches!(answer, Err(Error::Garbled(WRONG))) {
            let incarnation = self.link.incarnation().await?;
            self.link.break_up(&incarnation);
        }
        answer
    }
}

/// Adds what a creation and a save have in common.
fn add_write(call: &mut ScriptInvocation<'_>, write: &Write, is_save: bool) {
    let millis = |span: Option<Duration>| {
        span.map_or(0, |span| u64::try_from(span.as_millis()).unwrap_or(0).max(1)).to_string()
    };
    let (live, idle) = match &write.terms {
        Some(terms) => (millis(terms.live), millis(terms.idle)),
        None if is_save => (String::new(), "0".to_owned()),
        None => ("0".to_owned(), "0".to_owned()),
    };
    let principal = match write.origin {
        Origin::Kept if is_save => "=".to_owned(),
        Origin::Kept | Origin::Anonymous => String::new(),
        Origin::Of(principal) => principal.to_string(),
    };
    let (most, refuses) = match write.limit {
        Some((most, on_limit)) => (most, on_limit != OnLimit::RevokeOldest),
        None => (0, false),
    };
    call.arg(write.revision.as_bytes()).arg(write.bytes.as_slice()).arg(live).arg(idle);
    let age = write.age.map_or_else(String::new, |age| age.as_millis().to_string());
    let predecessor = write.predecessor.map_or_else(String::new, |key| key.to_string());
    call.arg(principal).arg(most).arg(u8::from(refuses)).arg(age).arg(predecessor);
}

/// A failure that is not the connection's.
fn kind_of(error: &RedisError) -> Error {
    use ::redis_1::{ErrorKind, ServerErrorKind};
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            Error::Garbled("an answer of another form")
        }
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain,
        ) => outage(error),
        _ => refused(error),
    }
}

/// A call is made on two connections at most.
const MOST_ATTEMPTS: usize = 2;

/// An estimate of the server's time is behind it by 2 ms at most when it was just made.
const MOST_NAPS: usize = 8;

/// How much longer than a creation may be late its tombstone stays: for what two estimates of the server's time
/// differ by.
const SLACK_MILLIS: u64 = 1_000;

/// A creation is late after a day at most.
const MOST_MILLIS: u64 = 86_400_000;

/// A code that no script gives.
const UNKNOWN: Error = Error::Garbled("an answer that no script gives");
