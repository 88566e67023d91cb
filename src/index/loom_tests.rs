//! A model of lifetimes that change while a reader judges.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::lifetime::Spans;
use crate::platform::clock::{MILLI_NS, NEVER_NS};

/// Neither deadline alone, nor both of one setting, allows what the old absolute one together with
/// the new idle time would (N5).
#[test]
fn loom_a_judgement_does_not_outlast_both_the_old_and_the_new_lifetime() {
    loom::model(|| {
        let (index, mut writer) = Index::<u32, ()>::new(1);
        let fresh = Fresh::new(1, (), 7, 1);
        fresh.begin(0, Spans { live_ns: NEVER_NS, idle_ns: 3 * MILLI_NS });
        let (linked, _) = index.link(&mut writer, fresh);
        let linked = Arc::new(linked);
        let changer = {
            let linked = linked.clone();
            let spans = Spans { live_ns: MILLI_NS, idle_ns: 4 * MILLI_NS };
            thread::spawn(move || linked.set_lifetime(spans, 0))
        };
        let deadline_ns = linked.judge().deadline_ns();
        changer.join().expect("it does not panic");
        assert!(deadline_ns >= MILLI_NS, "N5: an earlier death, {deadline_ns}");
        assert!(deadline_ns <= 3 * MILLI_NS, "N5: a longer life, {deadline_ns}");
        assert_eq!(linked.judge().deadline_ns(), MILLI_NS);
        let linked = Arc::into_inner(linked).expect("the other thread has ended");
        assert!(linked.kill(0).is_none());
        let unlinked = index.unlink(&mut writer, linked, RemovalCause::Removed);
        assert!(unlinked.is_free());
        // SAFETY: no other thread is left, and nobody holds it.
        drop(unsafe { unlinked.take() });
    });
}
