//! Checks for the tests of services, with the feature `testing`: is every session freed in the end?
//!
//! A [`LeakCheck`] looks at a cache until nothing of it is left, or for as long as it is told to, and
//! then says what is left and whose fault it is:
//!
//! - *linked*: sessions that are in the cache. End them in the test: let the clock pass their deadline,
//!   or call `clear`, `close` or drop the last handle.
//! - *retired*: sessions that have left and cannot be freed, because a closure of `read`, `update`,
//!   `retain` or `for_each` is inside, or because a listener or a destructor does not return.
//! - *overstays*: sessions that are out of the cache's hands and held by the application, however short
//!   ago they left. They are found only in a cache that [tracks](crate::Builder::track_overstays) them, and
//!   with [`Tracked`](crate::Tracked) values the report names the lines that took the handles. Without it
//!   the first two are all that there is to find, and a check of a cache of `Arc`s tells nothing of
//!   handles.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use sundown::testing::LeakCheck;
//! use sundown::{Cache, Tracked};
//!
//! let cache = Cache::builder().max_entries(10).track_overstays(Duration::ZERO).build()?;
//! let check = LeakCheck::of(&cache);
//! cache.insert("id", Tracked::new("ada"))?;
//! let forgotten = cache.get("id");
//! cache.discard("id");
//! let leaks = check.freed_within(Duration::from_millis(50)).unwrap_err();
//! assert!(leaks.to_string().contains(file!()), "{leaks}");
//! drop(forgotten);
//! check.assert_all_freed(Duration::from_secs(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Five leaks as people write them
//!
//! Each of them is a test of this crate, `tests/leak_check.rs`.
//!
//! **A handle in a map.** A feature that tracks who is on line, and forgets to forget:
//!
//! ```text
//! online.insert(user, cache.get(&id));
//! ```
//!
//! It tells `1 handle taken at src/online.rs:31`. Keep the id there, or a
//! [`WeakTracked`](crate::WeakTracked).
//!
//! **A handle in a task.** A task that waits for a message which never comes keeps all that it has
//! captured. It tells the line of the `get` whose session was moved into it. Have the task get the
//! session when the message is there, or end it with the request.
//!
//! **A handle in a listener's closure.** `on_removal(move |_, session, _| ended.push(session))`, and nobody
//! empties `ended`. It tells the line of the `on_removal`: what a listener is handed was taken there. Push
//! what is needed of the session, not the session.
//!
//! **A cycle.** A session that holds a handle of itself, or of one that holds it, is never dropped by
//! anybody. It tells the line that cloned the handle. Let one direction be weak. A listener that owns a
//! handle of its own cache is one, too: the cache then never ends, and the check says that its sessions
//! are linked. Give it a [`WeakCache`](crate::WeakCache).
//!
//! **A closure that never ends.** `cache.read(&id, |session| wait_for(session))`: the session is retired, and
//! one closure is inside. There is no line to tell, for it has not returned: take a stack dump. Clone the
//! handle out and let the closure end.

mod check;
mod leaks;
mod subject;
mod waiting;

pub use check::LeakCheck;
pub use leaks::Leaks;
pub use subject::Checked;
#[allow(unused_imports, reason = "for what other features build on a cache")]
pub(crate) use subject::{Suspect, sealed::Subject};
pub use waiting::AllFreed;
