//! The names of keys in the server.

use crate::fleet::Key;

/// What the names of a fleet's keys have in common.
pub(super) struct Names {
    pub(super) namespace: String,
    sessions: String,
    canaries: String,
}

/// What a message of the stream is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    Session(Key),
    /// This instance's canary of this number.
    Canary(u64),
    Other,
}

impl Names {
    /// `instance` tells this instance's canaries from others'.
    pub(super) fn new(namespace: String, instance: &Key) -> Self {
        let sessions = format!("{namespace}:s:");
        let canaries = format!("{namespace}:y:{instance}:");
        Self { namespace, sessions, canaries }
    }

    /// The prefixes of what this instance is told of: all sessions, and its own canaries.
    ///
    /// The server sends what it has collected in the order of the prefixes, so the canaries' comes later.
    pub(super) fn tracked(&self) -> [&str; 2] {
        [&self.sessions, &self.canaries]
    }

    pub(super) fn session(&self, key: &Key) -> String {
        format!("{}{key}", self.sessions)
    }

    pub(super) fn principal(&self, key: &Key) -> String {
        format!("{}:p:{key}", self.namespace)
    }

    pub(super) fn canary(&self, number: u64) -> String {
        format!("{}{number}", self.canaries)
    }

    /// What a name stands for.
    pub(super) fn parse(&self, name: &[u8]) -> Named {
        let Ok(name) = core::str::from_utf8(name) else { return Named::Other };
        if let Some(number) = name.strip_prefix(&self.canaries) {
            return number.parse().map_or(Named::Other, Named::Canary);
        }
        let key = name.strip_prefix(&self.sessions).and_then(|key| key.parse().ok());
        key.map_or(Named::Other, Named::Session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let names = Names::new("shop".to_owned(), &Key::of("this one"));
        let (key, others) = (Key::of("id"), Names::new("shop".to_owned(), &Key::of("another")));
        assert_eq!(names.parse(names.session(&key).as_bytes()), Named::Session(key));
        assert_eq!(names.parse(names.canary(7).as_bytes()), Named::Canary(7));
        assert_eq!(names.parse(others.canary(7).as_bytes()), Named::Other);
        assert_eq!(names.parse(names.principal(&key).as_bytes()), Named::Other);
        assert_eq!(names.parse(b"\xff"), Named::Other);
        assert!(names.tracked().is_sorted(), "a canary comes after what was written before it");
    }
}
