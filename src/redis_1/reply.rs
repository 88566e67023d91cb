//! What the scripts answer, in the fleet's words.

use core::time::Duration;

use crate::fleet::{Error, Facts, Key, Left, Revision, Stored};

/// A session as `told` tells it: hash, revision, value, age, span, live, idle, principal.
pub(super) type Told = (String, Vec<u8>, Vec<u8>, i64, i64, i64, i64, String);

/// The answer of a creation or a save: code, session, ended, the server's time.
pub(super) type Answer = (i64, Option<Told>, Vec<String>, u64);

/// A session, unless it is another one's (T7).
pub(super) fn stored(told: Told, key: &Key) -> Result<Stored, Error> {
    let (hash, revision, bytes, age, span, live, idle, principal) = told;
    if hash != key.to_string() {
        return Err(Error::Garbled(WRONG));
    }
    let revision =
        revision.try_into().map_err(|_| Error::Garbled("a revision of a wrong length"))?;
    let mut facts = Facts::new(Revision::from_bytes(revision), left(span, live));
    facts.age = millis(age);
    facts.idle = (idle > 0).then(|| millis(idle));
    facts.principal = match principal.as_str() {
        "" => None,
        text => Some(key_of(text)?),
    };
    Ok(Stored::new(bytes, facts))
}

/// The same of an answer that must have one.
pub(super) fn facts(told: Option<Told>, key: &Key) -> Result<Facts, Error> {
    let told = told.ok_or(Error::Garbled("no session where one was written"))?;
    Ok(stored(told, key)?.facts)
}

pub(super) fn left(span: i64, live: i64) -> Left {
    Left::new(millis(span), (live >= 0).then(|| millis(live)))
}

pub(super) fn keys(texts: Vec<String>) -> Result<Vec<Key>, Error> {
    texts.iter().map(|text| key_of(text)).collect()
}

pub(super) fn key_of(text: &str) -> Result<Key, Error> {
    text.parse().map_err(|_| Error::Garbled("a key that is none"))
}

pub(super) fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The answer to another call: the connection cannot be trusted any more.
pub(super) const WRONG: &str = "another session than the one that was asked for";
