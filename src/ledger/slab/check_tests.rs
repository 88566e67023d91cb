//! When the slab has something to give back, and that its check sees what is broken.

use super::*;

/// Records in a page.
const PAGE: u32 = PAGE_RECORDS as u32;

/// A slab with records 0 to `count - 1`.
fn filled(count: u32) -> Slab<u32> {
    let mut slab = Slab::new();
    (0..count).for_each(|number| assert_eq!(slab.insert(number), RecordId(number)));
    slab
}

fn remove(slab: &mut Slab<u32>, numbers: core::ops::Range<u32>) {
    numbers.for_each(|number| assert_eq!(slab.remove(RecordId(number)).token, number));
}

/// Has the spare page put to use.
fn use_spare(slab: &mut Slab<u32>) {
    assert!(slab.spare.is_some());
    slab.insert(0);
    assert!(slab.spare.is_none());
}

#[test]
fn directory_is_slack_when_over_four_times_too_large_and_sixteen() {
    let mut slab = filled(40 * PAGE);
    assert_eq!(slab.pages.capacity(), 64, "a vector doubles");
    assert!(!slab.has_slack());
    remove(&mut slab, 12 * PAGE..40 * PAGE);
    use_spare(&mut slab);
    remove(&mut slab, 11 * PAGE..12 * PAGE);
    // The place in page 12 keeps it; page 11 is absent.
    assert_eq!(slab.pages.len(), 13);
    slab.remove(RecordId(12 * PAGE));
    assert_eq!(slab.pages.len(), 11);
    use_spare(&mut slab);
    assert_eq!(slab.pages.len(), 12);
    assert!(!slab.has_slack(), "64 is 4 times 12 and 16");
    slab.trim(Fit::Loose);
    assert_eq!(slab.pages.capacity(), 64);
    slab.remove(RecordId(11 * PAGE));
    remove(&mut slab, 10 * PAGE..11 * PAGE);
    use_spare(&mut slab);
    assert_eq!(slab.pages.len(), 11);
    assert!(slab.has_slack(), "64 is over 4 times 11 and 16");
    slab.trim(Fit::Loose);
    assert_eq!(slab.pages.capacity(), 11);
    assert!(!slab.has_slack());
    slab.check().unwrap();
}

#[test]
fn word_that_no_page_needs_is_slack() {
    let mut slab = filled(64 * PAGE + 1);
    assert_eq!(slab.open.len(), 2);
    assert!(!slab.has_slack());
    slab.remove(RecordId(64 * PAGE));
    remove(&mut slab, 5 * PAGE..6 * PAGE);
    use_spare(&mut slab);
    assert_eq!((slab.pages.len(), slab.open.len()), (64, 2));
    assert!(slab.has_slack());
    slab.trim(Fit::Exact);
    assert_eq!(slab.open.len(), 1);
    assert!(!slab.has_slack());
    slab.check().unwrap();
}

#[test]
fn emptied_page_is_kept_once_and_given_back() {
    let mut slab = filled(3 * PAGE);
    let full = slab.bytes();
    remove(&mut slab, PAGE..3 * PAGE);
    // Of two that were emptied one is kept.
    assert_eq!(slab.bytes(), full - size_of::<Page<u32>>());
    assert!(slab.has_slack());
    slab.trim(Fit::Exact);
    let directory = size_of::<Option<Box<Page<u32>>>>() + size_of::<u64>();
    assert_eq!(slab.bytes(), size_of::<Page<u32>>() + directory);
    slab.check().unwrap();
}

#[test]
fn check_names_the_invariant_that_is_broken() {
    let number_of = |breakage: fn(&mut Slab<u32>)| {
        // Pages 0 and 65 have records and free places, page 1 is full, all others are absent.
        let mut slab = filled(66 * PAGE);
        remove(&mut slab, 2 * PAGE..65 * PAGE);
        remove(&mut slab, 7..8);
        remove(&mut slab, 65 * PAGE + 9..65 * PAGE + 10);
        slab.check().expect("the invariants hold");
        breakage(&mut slab);
        slab.check().err().map(|broken| broken[..2].to_string())
    };
    type Breakage = (&'static str, fn(&mut Slab<u32>));
    let breakages: [Breakage; 9] = [
        ("S1", |slab| slab.pages[0].as_mut().expect("it is there").used &= !1),
        ("S1", |slab| slab.pages[65].as_mut().expect("it is there").used |= 1 << 9),
        ("S2", |slab| slab.open[0] &= !1),
        ("S2", |slab| slab.open[0] |= 1 << 1),
        ("S2", |slab| slab.open[0] &= !(1 << 2)),
        ("S2", |slab| slab.open[1] &= !(1 << 1)),
        ("S3", |slab| slab.pages[2] = Some(Box::new(Page::empty()))),
        ("S4", |slab| slab.len += 1),
        ("S5", |slab| slab.first_open = 1),
    ];
    for (number, breakage) in breakages {
        assert_eq!(number_of(breakage).as_deref(), Some(number));
    }
}

#[test]
fn record_numbers_leave_the_top_bit_free() {
    let numbers = core::hint::black_box(MOST_PAGES) * PAGE_RECORDS;
    assert!(numbers <= 1 << 31, "{numbers} numbers do not fit into 31 bits");
    assert!(numbers >= 2_000_000_000, "nearly two billion are promised");
}
