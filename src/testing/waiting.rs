//! Waiting for a check, on a thread or in a task.

use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Condvar, Mutex, PoisonError};

use super::check::LeakCheck;
use super::leaks::Leaks;
use crate::platform::sync::Arc;

/// What a check comes to, where its thread puts it and others wait for it.
#[derive(Clone, Default)]
pub(super) struct Outcome(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    outcome: Option<Result<(), Leaks>>,
    waker: Option<Waker>,
}

impl Outcome {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn tell(&self, outcome: Result<(), Leaks>) {
        let waker = self.with(|state| {
            state.outcome = Some(outcome);
            state.waker.take()
        });
        self.0.1.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn wait(&self) -> Result<(), Leaks> {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<(), Leaks>> {
        self.with(|state| match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
    }
}

/// A check under way; made by [`LeakCheck::all_freed_within`].
#[must_use = "a check does nothing until it is awaited"]
pub struct AllFreed {
    stage: Stage,
}

enum Stage {
    New(LeakCheck, Duration),
    Begun(Outcome),
    Over,
}

impl AllFreed {
    pub(super) fn of(check: LeakCheck, within: Duration) -> Self {
        Self { stage: Stage::New(check, within) }
    }
}

impl Future for AllFreed {
    type Output = Result<(), Leaks>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match mem::replace(&mut self.stage, Stage::Over) {
            Stage::New(check, within) => {
                let outcome = Outcome::default();
                check.begin(within, &outcome);
                outcome
            }
            Stage::Begun(outcome) => outcome,
            Stage::Over => panic!("a check is polled after its end"),
        };
        let poll = outcome.poll(context);
        if poll.is_pending() {
            self.stage = Stage::Begun(outcome);
        }
        poll
    }
}

impl fmt::Debug for AllFreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AllFreed { .. }")
    }
}
