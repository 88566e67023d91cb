//! The threads: each works while a round is busy and waits for the next one while it is quiet.
//!
//! The members live as long as the soak, so that what the cache keeps for a thread that is quiet
//! shows; every other spell of a post is served by a thread that comes for it and goes, so that what
//! it keeps for a thread that has gone shows too. A member that panics or does not come back is a
//! fault of the cache, not the end of the soak.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::house::{House, Tally};
use crate::options::Plan;
use crate::post::Post;
use crate::stalls::Sleeper;
use crate::tenants::Builder;
use crate::traffic::Traffic;
use crate::travel::Traveller;
use crate::twins::Historian;

#[derive(Debug)]
pub(crate) struct Crew {
    members: Vec<Member>,
    stop: Arc<AtomicBool>,
    /// A word from each member that has come to rest.
    rested: Receiver<()>,
}

#[derive(Debug)]
struct Member {
    /// A word for each round.
    go: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// What a member does until the round is over.
type Work = Box<dyn FnMut(&House, &AtomicBool) + Send>;

impl Crew {
    /// How many places the board needs: the sleeper has one, behind the posts.
    pub(crate) fn places(plan: &Plan) -> usize {
        plan.threads + 1
    }

    /// Starts the threads; they wait for the first round.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub(crate) fn hire(plan: &Plan, house: &Arc<House>) -> Result<Self, String> {
        let &Plan { threads, seed, .. } = plan;
        let longest_life = plan.longest_life.as_nanos() as u64;
        let mut works: Vec<Work> = (0..threads)
            .map(|number| {
                let mut traffic = Traffic::new(seed, number, threads, longest_life);
                let work: Work =
                    Box::new(move |house, stop| man(house, number, &mut traffic, stop));
                work
            })
            .collect();
        let mut sleeper = Sleeper::new(seed, threads, longest_life);
        works.push(Box::new(move |house, stop| sleeper.work(house, stop)));
        let mut traveller = Traveller::new(seed, threads + 1);
        works.push(Box::new(move |house, stop| traveller.work(house, stop)));
        let mut builder = Builder::new(seed, threads + 2);
        works.push(Box::new(move |house, stop| builder.work(house, stop)));
        let mut historian = Historian::new(seed, threads + 3);
        works.push(Box::new(move |house, stop| historian.work(house, stop)));

        let stop = Arc::new(AtomicBool::new(false));
        let (tell, rested) = sync_channel(works.len());
        let members = works
            .into_iter()
            .map(|work| Member::start(work, Arc::clone(house), Arc::clone(&stop), tell.clone()))
            .collect::<io::Result<_>>()
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { members, stop, rested })
    }

    /// How many threads live as long as the soak.
    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// Sets everybody to work.
    pub(crate) fn begin(&self) {
        self.stop.store(false, Relaxed);
        for member in &self.members {
            // A member that is gone is missed when it does not come to rest.
            let _ = member.go.send(());
        }
    }

    /// Stops everybody; false if somebody does not come back.
    pub(crate) fn rest(&self) -> bool {
        self.stop.store(true, Relaxed);
        let deadline = Instant::now() + PATIENCE;
        self.members.iter().all(|_| {
            let left = deadline.saturating_duration_since(Instant::now());
            self.rested.recv_timeout(left).is_ok()
        })
    }

    /// Sends everybody home; to be called when all rest.
    pub(crate) fn dismiss(self) {
        for Member { go, thread } in self.members {
            drop(go);
            // Panics were caught and told inside.
            let _ = thread.join();
        }
    }
}

impl Member {
    fn start(
        mut work: Work,
        house: Arc<House>,
        stop: Arc<AtomicBool>,
        tell: SyncSender<()>,
    ) -> io::Result<Self> {
        let (go, told) = sync_channel(1);
        let run = move || {
            while told.recv().is_ok() {
                let outcome = catch_unwind(AssertUnwindSafe(|| work(&house, &stop)));
                if let Err(panic) = outcome {
                    accuse_panic(&house, &*panic);
                }
                if tell.send(()).is_err() {
                    break;
                }
            }
        };
        Ok(Self { go, thread: thread::Builder::new().spawn(run)? })
    }
}

/// Serves a post, every other spell by a newcomer.
fn man(house: &House, number: usize, traffic: &mut Traffic, stop: &AtomicBool) {
    let mut is_newcomers_turn = false;
    while !stop.load(Relaxed) {
        let spell = traffic.spell();
        let mut post = Post::new(house, number, traffic);
        if is_newcomers_turn {
            let ended = thread::scope(|scope| scope.spawn(|| post.serve(spell, stop)).join());
            if let Err(panic) = ended {
                accuse_panic(house, &*panic);
            }
            house.add(Tally { threads: 1, ..Tally::default() });
        } else {
            post.serve(spell, stop);
        }
        is_newcomers_turn = !is_newcomers_turn;
    }
}

fn accuse_panic(house: &House, panic: &(dyn Any + Send)) {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
    let finding = format!("a thread panicked: {}", words.unwrap_or("without a word"));
    house.accuse("it keeps running", finding);
}

/// Every call ends soon, and closures look for the end of the round; who is not back by then hangs.
const PATIENCE: Duration = Duration::from_secs(60);
