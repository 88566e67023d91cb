//! Who was revoked when, and what was deleted before that (Q4).

use core::hash::Hash;

use crate::adapters::descent::{most_ends, remembering};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::error::BuildError;
use crate::platform::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::removal::RemovalCause;
use crate::sessions::PublicId;
use crate::sessions::life::Life;

pub(super) struct Revocations<K> {
    /// The lives of sessions that were deleted lately, each with the number of the last revocation by then.
    departed: Cache<K, (Arc<Life<String, K>>, u64)>,
    /// Of principals, numbered.
    of: Cache<String, Revocation>,
    /// Sessions that were ended alone.
    ended: Cache<PublicId, ()>,
    /// The number of the last revocation; changed under the lock.
    last: AtomicU64,
    revoking: Mutex<()>,
    /// The last one that `of` had no room for any more.
    forgotten: Arc<AtomicU64>,
}

/// The revocations of a principal: all that was begun before number `all`, and before number `others` all but one
/// session.
#[derive(Clone, Default)]
struct Revocation {
    all: u64,
    others: u64,
    kept: Option<PublicId>,
}

impl Revocation {
    /// With another one, the last so far.
    fn next(&self, number: u64, kept: Option<PublicId>) -> Self {
        match kept {
            None => Self { all: number, ..Self::default() },
            // What was kept then is not now, and what is kept now was not then.
            Some(_) if self.kept != kept => Self { all: self.last(), others: number, kept },
            Some(_) => Self { all: self.all, others: number, kept },
        }
    }

    fn last(&self) -> u64 {
        self.all.max(self.others)
    }

    fn last_of(&self, public: &PublicId) -> u64 {
        if self.kept.as_ref() == Some(public) { self.all } else { self.last() }
    }
}

impl<K> Revocations<K>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
{
    pub(super) fn of<V>(builder: &Builder<K, V>) -> Result<Self, BuildError> {
        let forgotten = Arc::new(AtomicU64::new(0));
        let forgets = forgotten.clone();
        let of = remembering(builder, MOST_REVOCATIONS).on_removal(
            move |_, revocation: Revocation, cause| {
                if cause == RemovalCause::Evicted {
                    // Release: pairs with `have`.
                    forgets.fetch_max(revocation.last(), Ordering::Release);
                }
            },
        );
        Ok(Self {
            departed: remembering(builder, most_ends(builder)).build()?,
            of: of.build()?,
            ended: remembering(builder, MOST_REVOCATIONS).build()?,
            last: AtomicU64::new(0),
            revoking: Mutex::default(),
            forgotten,
        })
    }

    /// Notes that the session of a life is about to be deleted.
    pub(super) fn depart(&self, key: &K, life: Arc<Life<String, K>>) {
        // Acquire: pairs with `note`. What is begun after a revocation sees its number.
        let last = self.last.load(Ordering::Acquire);
        let _refused = self.departed.insert(key.clone(), (life, last));
    }

    /// The life of a session that was deleted lately.
    pub(super) fn departed(&self, key: &K) -> Option<Arc<Life<String, K>>> {
        self.departed.peek(key).map(|(life, _)| life)
    }

    /// Whether a session that was deleted has been revoked since.
    pub(super) fn have(&self, departed: &K) -> bool {
        let Some((life, last)) = self.departed.peek(departed) else { return false };
        let principal = life.principal.as_ref().expect("a member has one");
        let public = &life.root.public;
        let since = self.of.read(principal, |revocation| revocation.last_of(public));
        // Acquire: pairs with the listener in `of`.
        let since = since.unwrap_or(0).max(self.forgotten.load(Ordering::Acquire));
        since > last || self.ended.contains_key(public)
    }

    /// Whether a principal was revoked lately, or may have been.
    pub(super) fn have_lately(&self, principal: &String) -> bool {
        // Acquire: pairs with the listener in `of`.
        self.of.contains_key(principal) || self.forgotten.load(Ordering::Acquire) != 0
    }

    /// Notes that a principal's sessions end but the one that is `kept`, and has `end` end its lives: in this order,
    /// so that a life which is entered too late for `end` finds the note (Q4).
    pub(super) fn note<T>(
        &self,
        principal: &String,
        kept: Option<PublicId>,
        end: impl FnOnce() -> T,
    ) -> T {
        let _one = self.revoking.lock();
        // Relaxed: under the lock, none but this call changes it.
        let number = self.last.load(Ordering::Relaxed) + 1;
        let next = self.of.peek(principal).unwrap_or_default().next(number, kept);
        let _refused = self.of.insert(principal.clone(), next);
        let ended = end();
        // Release: pairs with `depart`.
        self.last.store(number, Ordering::Release);
        ended
    }

    /// Notes that a session is about to be ended alone.
    pub(super) fn note_one(&self, public: PublicId) {
        let _refused = self.ended.insert(public, ());
    }

    #[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
    pub(super) fn reap(&self) {
        self.departed.reap();
        self.of.reap();
        self.ended.reap();
    }
}

/// How many principals' last revocations are known: some 10 MB of them at most. Where more are revoked within an
/// hour, new ids that are under way count as revoked.
const MOST_REVOCATIONS: usize = 65_536;
