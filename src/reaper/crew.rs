//! The threads that attend to caches, and what they know of each other.

use core::time::Duration;
use std::io;

use super::process;
use super::seat::{Left, Seat, Task};
use super::times::Times;
use crate::platform::clock::{MILLI_NS, NEVER_NS, nanos, process_ns, sleep_until};
use crate::platform::sync::{
    Arc, AtomicU64, AtomicUsize, Bell, DrainGuard, Mutex, OnceLock, Ordering, REPEATS, moment_in,
    park, thread,
};
use crate::platform::thread::spawn;
use crate::platform::unwind;

/// A leader, its stand-bys, and the seats of the caches that they serve.
pub(crate) struct Crew {
    /// The process's time at which the leader wants to wake.
    wake_ns: AtomicU64,
    times: Times,
    /// How many seats are taken.
    taken: AtomicUsize,
    leader: OnceLock<thread::Thread>,
    staff: Mutex<Staff>,
    /// Rings under `staff` for a stand-by that dozes.
    watch: Bell,
    /// Rings under `staff` when a task is back in its seat.
    returned: Bell,
    is_shared: bool,
}

#[derive(Default)]
struct Staff {
    posts: Vec<Post>,
    /// The numbers of the posts that are free.
    free: Vec<usize>,
    /// The post to look at first, so that each has its turn.
    next: usize,
    /// How many tasks are in the hands of threads.
    busy: usize,
    /// How many caches wait for a task to come back.
    leavers: usize,
    standbys: usize,
    /// How many of them are not at a task.
    idle: usize,
    /// Whether an idle one sleeps until there is something to watch.
    is_dozing: bool,
    threads: Vec<thread::JoinHandle<()>>,
    /// The stand-by that ended last.
    ended: Option<thread::JoinHandle<()>>,
    is_stopped: bool,
}

/// Where a cache's task is (P3).
enum Post {
    Free,
    /// Taken, without a task: it is on its way, or a fault of ours has ended it.
    Vacant,
    Waiting(Box<dyn Task>),
    /// In the hands of this thread.
    Busy(thread::ThreadId),
    /// The same, and the cache has ended inside of it.
    Orphaned,
}

struct Claim {
    number: usize,
    task: Box<dyn Task>,
}

impl Crew {
    /// Starts a leader, whose stack is the standard library's default unless told.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub(super) fn start(stack_bytes: Option<usize>, is_shared: bool) -> io::Result<Arc<Self>> {
        let crew = Arc::new(Self {
            wake_ns: AtomicU64::new(NEVER_NS),
            times: Times::new(),
            taken: AtomicUsize::new(0),
            leader: OnceLock::new(),
            staff: Mutex::new(Staff::default()),
            watch: Bell::new(),
            returned: Bell::new(),
            is_shared,
        });
        let own = crew.clone();
        let leader = spawn(LEADER, stack_bytes, move || own.lead())?;
        let _first = crew.leader.set(leader.thread().clone());
        crew.staff.lock().threads.push(leader);
        Ok(crew)
    }

    /// Reserves a seat; its task comes later.
    pub(super) fn reserve(self: &Arc<Self>) -> Seat {
        let mut staff = self.staff.lock();
        let number = staff.free.pop().unwrap_or_else(|| {
            staff.posts.push(Post::Free);
            staff.posts.len() - 1
        });
        staff.posts[number] = Post::Vacant;
        self.times.make(number);
        // Relaxed: a figure.
        self.taken.fetch_add(1, Ordering::Relaxed);
        Seat::new(self.clone(), number)
    }

    /// Gives a seat back that has no task any more; tells whether it was the last.
    pub(super) fn free(&self, number: usize) -> bool {
        let mut staff = self.staff.lock();
        staff.posts[number] = Post::Free;
        staff.free.push(number);
        // Relaxed: nobody rings for it any more.
        self.times.get(number).store(NEVER_NS, Ordering::Relaxed);
        // Relaxed: under the lock, and a figure elsewhere.
        self.taken.fetch_sub(1, Ordering::Relaxed) == 1
    }

    fn vacate(&self, number: usize) {
        let is_last =
            if self.is_shared { process::vacate(self, number) } else { self.free(number) };
        if is_last {
            self.end();
        }
    }

    /// Ends the threads, now that no cache has a seat, and joins them: none is at a task.
    fn end(&self) {
        let threads: Vec<_> = {
            let mut staff = self.staff.lock();
            debug_assert_eq!(staff.busy, 0, "P3: a task has a seat");
            staff.is_stopped = true;
            let ended = staff.ended.take();
            core::mem::take(&mut staff.threads).into_iter().chain(ended).collect()
        };
        self.watch.ring();
        self.wake_by(0);
        // One of them may be this one, whose thread-local values end after all else.
        let own = thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != own) {
            let _ended = thread.join();
        }
    }

    /// Has the leader wake by then.
    fn wake_by(&self, at_ns: u64) {
        // Release: pairs with the swap in `lead` (P1).
        if self.wake_ns.fetch_min(at_ns, Ordering::Release) > at_ns {
            // It is known before any seat is.
            if let Some(leader) = self.leader.get() {
                leader.unpark();
            }
        }
    }

    /// Puts a task in a seat.
    pub(super) fn install(self: &Arc<Self>, number: usize, task: Box<dyn Task>) {
        let mut staff = self.staff.lock();
        staff.posts[number] = Post::Waiting(task);
        if staff.busy > 0 {
            self.keep_watch(&mut staff);
        }
        // The leader has passed the seat over while it had no task, and whoever lowers its time next goes no
        // step further up if it is low already: an earlier cache's last ring may have come late (P1).
        // Relaxed: a ring that this does not see wakes the leader itself.
        self.wake_by(self.times.get(number).load(Ordering::Relaxed));
    }

    /// Takes a seat's task back for good, and the seat; calls `stop` before it waits for the thread that
    /// is at the task. Inside a listener or a destructor it does not wait: another thread may be waiting
    /// for this one in turn.
    pub(super) fn dismiss(&self, number: usize, stop: impl FnOnce()) -> Left {
        let mut staff = self.staff.lock();
        stop();
        while let Post::Busy(runner) = &staff.posts[number] {
            if *runner == thread::current().id() || DrainGuard::is_any_active() {
                staff.posts[number] = Post::Orphaned;
                return Left::ToItsThread;
            }
            staff.leavers += 1;
            // No ring is missed: who leaves is counted under the lock that the ring follows.
            (staff, _) = self.returned.wait(staff, moment_in(LONG));
            staff.leavers -= 1;
        }
        let task = core::mem::replace(&mut staff.posts[number], Post::Vacant);
        drop(staff);
        drop(task);
        self.vacate(number);
        Left::Free
    }

    /// Has a seat looked at by this time of the process.
    pub(super) fn ring(&self, number: usize, at_ns: u64) {
        // Release: pairs with the swap in `take` (P1).
        if self.times.get(number).fetch_min(at_ns, Ordering::Release) > at_ns {
            self.wake_by(at_ns);
        }
    }

    /// Whether a seat waits for attention whose task is in no thread's hands.
    pub(super) fn is_wanted(&self) -> bool {
        // Relaxed, all: hints, for a thread that will look anyway. A leader that is at a task does not
        // raise `wake_ns`, so what it says has to be looked into.
        let now_ns = process_ns();
        if self.taken.load(Ordering::Relaxed) < 2 || self.wake_ns.load(Ordering::Relaxed) > now_ns {
            return false;
        }
        let staff = self.staff.lock();
        staff.posts.iter().enumerate().any(|(number, post)| {
            self.times.get(number).load(Ordering::Relaxed) <= now_ns
                && matches!(post, Post::Waiting(_))
        })
    }

    fn lead(self: &Arc<Self>) {
        loop {
            // Acquire: pairs with `wake_by`: the seats' times that were lowered before are seen (P1).
            self.wake_ns.swap(NEVER_NS, Ordering::Acquire);
            let mut staff = self.staff.lock();
            if staff.is_stopped {
                return;
            }
            let (claim, earliest_ns) = self.claim(&mut staff, process_ns());
            drop(staff);
            // Relaxed: the leader reads it next, or another thread adds to it.
            self.wake_ns.fetch_min(earliest_ns, Ordering::Relaxed);
            match claim {
                Some(claim) => {
                    let (number, look_ns) = self.attend(claim);
                    // Relaxed: the leader looks at it next.
                    self.times.get(number).fetch_min(look_ns, Ordering::Relaxed);
                }
                None => self.sleep(),
            }
        }
    }

    fn sleep(&self) {
        loop {
            // Relaxed: what is lowered later comes with a wake-up (P2).
            let at_ns = self.wake_ns.load(Ordering::Relaxed);
            if at_ns <= process_ns() {
                return;
            }
            park(sleep_until(at_ns));
        }
    }

    /// Takes the next task whose time is not after `until_ns`, and tells the earliest time of the others
    /// that wait.
    fn claim(self: &Arc<Self>, staff: &mut Staff, until_ns: u64) -> (Option<Claim>, u64) {
        let (mut found, mut earliest_ns) = (None, NEVER_NS);
        for number in (staff.next..staff.posts.len()).chain(0..staff.next) {
            // Relaxed: what `wake_ns` has brought along is seen, and the rest rings later (P1).
            let at_ns = self.times.get(number).load(Ordering::Relaxed);
            if at_ns >= earliest_ns || !matches!(staff.posts[number], Post::Waiting(_)) {
                continue;
            }
            if at_ns <= until_ns && found.is_none() {
                found = Some(number);
            } else {
                earliest_ns = at_ns;
            }
        }
        (found.and_then(|number| self.take(staff, number)), earliest_ns)
    }

    fn take(self: &Arc<Self>, staff: &mut Staff, number: usize) -> Option<Claim> {
        let busy = Post::Busy(thread::current().id());
        let Post::Waiting(task) = core::mem::replace(&mut staff.posts[number], busy) else {
            return None;
        };
        // Acquire: pairs with `ring`: an alarm that was lowered before is seen (P1).
        self.times.get(number).swap(NEVER_NS, Ordering::Acquire);
        staff.next = number + 1;
        staff.busy += 1;
        self.keep_watch(staff);
        Some(Claim { number, task })
    }

    /// Does what a task has to do, and puts it back. Gives the time at which to look again.
    fn attend(self: &Arc<Self>, Claim { number, mut task }: Claim) -> (usize, u64) {
        // User code's panics are caught inside. One of ours costs its own cache the reaper, and no other.
        let mut look_ns = NEVER_NS;
        let is_lost = unwind::panics(|| look_ns = task.attend());
        let mut staff = self.staff.lock();
        if matches!(staff.posts[number], Post::Orphaned) {
            drop(staff);
            // Only then is the seat free: the last to free one joins the threads, none of which may be inside
            // user code.
            let _is_lost = unwind::panics(|| task.finish());
            self.staff.lock().busy -= 1;
            self.vacate(number);
            return (number, NEVER_NS);
        }
        staff.busy -= 1;
        staff.posts[number] = if is_lost { Post::Vacant } else { Post::Waiting(task) };
        let has_leavers = staff.leavers > 0;
        drop(staff);
        if has_leavers {
            self.returned.ring();
        }
        (number, look_ns)
    }

    /// Tells the leader when a cache that a stand-by has attended to wants attention again. The leader may
    /// have passed it over meanwhile, for its task was in other hands.
    fn hand_back(&self, number: usize, look_ns: u64) {
        // Relaxed: the lock that the task went back under orders it after the leader's look.
        let rung_ns = self.times.get(number).fetch_min(look_ns, Ordering::Relaxed);
        self.wake_by(rung_ns.min(look_ns));
    }

    /// Sees to it that a stand-by watches while a task is in the hands of a thread, if there are others.
    fn keep_watch(self: &Arc<Self>, staff: &mut Staff) {
        // Relaxed: a figure, which is looked at again when another cache takes its seat.
        if self.taken.load(Ordering::Relaxed) < 2 {
            return;
        }
        if staff.idle > 0 {
            if core::mem::take(&mut staff.is_dozing) {
                self.watch.ring();
            }
        } else if staff.standbys < MOST_STANDBYS {
            let own = self.clone();
            // If it cannot be started, the next task tries again.
            if let Ok(standby) = spawn(STANDBY, None, move || own.stand_by()) {
                staff.threads.push(standby);
                (staff.standbys, staff.idle) = (staff.standbys + 1, staff.idle + 1);
            }
        }
    }

    fn stand_by(self: &Arc<Self>) {
        let mut staff = self.staff.lock();
        let (mut patience_ns, mut idle_since_ns) = (PATIENCE_NS, process_ns());
        while !staff.is_stopped {
            // Not idle while it claims: then it needs a successor.
            staff.idle -= 1;
            let (claim, _) = self.claim(&mut staff, process_ns().saturating_sub(patience_ns));
            if let Some(claim) = claim {
                drop(staff);
                let (number, look_ns) = self.attend(claim);
                self.hand_back(number, look_ns);
                staff = self.staff.lock();
                staff.idle += 1;
                // As long as there is something to do it does not wait for it to grow old.
                (patience_ns, idle_since_ns) = (0, process_ns());
                continue;
            }
            staff.idle += 1;
            patience_ns = PATIENCE_NS;
            let has_lingered = process_ns().saturating_sub(idle_since_ns) >= nanos(LINGER);
            if has_lingered && (staff.busy == 0 || staff.idle > 1) {
                break;
            }
            staff.is_dozing |= staff.busy == 0;
            let span = if staff.busy == 0 { LINGER } else { POLL };
            (staff, _) = self.watch.wait(staff, moment_in(span));
        }
        staff.idle -= 1;
        staff.standbys -= 1;
        let own = thread::current().id();
        let own = staff.threads.iter().position(|thread| thread.thread().id() == own);
        // It is there unless the crew is at its end, and joined.
        let before = own.and_then(|own| {
            let own = staff.threads.swap_remove(own);
            staff.ended.replace(own)
        });
        drop(staff);
        if let Some(before) = before {
            let _ended = before.join();
        }
    }
}

/// Fit into the 15 bytes that Linux shows.
const LEADER: &str = "sundown-reaper";
const STANDBY: &str = "sundown-standby";
/// More threads than this would be of use only if as many listeners were stuck at once. None in models,
/// which have no time to watch.
const MOST_STANDBYS: usize = if REPEATS { 0 } else { 7 };
/// How often a stand-by looks, and how late a cache is when it takes over: together they keep within
/// 50 ms with room for a processor that is busy.
const POLL: Duration = Duration::from_millis(10);
const PATIENCE_NS: u64 = 10 * MILLI_NS;
/// An end for a wait that does not need one.
const LONG: Duration = Duration::from_secs(3_600);
/// How long a stand-by stays that nobody needs.
const LINGER: Duration = Duration::from_secs(10);

#[cfg(all(test, sundown_loom))]
mod loom_tests;
#[cfg(all(test, not(any(sundown_loom, sundown_shuttle))))]
mod tests;
