//! Waits and what is told of them.

/// What was waited for and how long, in nanoseconds since the beginning of the minute.
#[derive(Default)]
pub struct Waits(Vec<Wait>);

#[derive(Clone, Copy)]
struct Wait {
    due_ns: u64,
    waited_ns: u64,
}

impl Waits {
    /// So that noting asks no allocator.
    pub fn with_room_for(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    pub fn note(&mut self, due_ns: u64, waited_ns: u64) {
        self.0.push(Wait { due_ns, waited_ns });
    }

    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// The longest wait, part of which was inside one of `windows`.
    fn longest_ms(&self, windows: &[Window]) -> Option<f64> {
        let is_in = |wait: &&Wait| {
            let end_ns = wait.due_ns + wait.waited_ns;
            windows.iter().any(|window| wait.due_ns <= window.end_ns && window.begin_ns <= end_ns)
        };
        self.0.iter().filter(is_in).map(|wait| wait.waited_ns).max().map(millis)
    }

    /// The wait that only `share` of them exceed; without what of each was in one of `windows`.
    fn exceeded_by(&self, share: f64, windows: &[Window]) -> f64 {
        let less = |wait: &Wait| wait.waited_ns.saturating_sub(wait.overlap_ns(windows));
        let mut sorted: Vec<u64> = self.0.iter().map(less).collect();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * (1.0 - share)) as usize;
        sorted.get(rank).map_or(0.0, |&wait_ns| millis(wait_ns))
    }

    /// When each wait over half a millisecond was, of a thread whose operations follow each other.
    fn late(&self) -> Vec<Window> {
        let mut late: Vec<Window> = Vec::new();
        for wait in self.0.iter().filter(|wait| wait.waited_ns > LATE_NS) {
            let end_ns = wait.due_ns + wait.waited_ns;
            match late.last_mut() {
                Some(last) if wait.due_ns <= last.end_ns => last.end_ns = end_ns,
                _ => late.push(Window { begin_ns: wait.due_ns, end_ns, mib: 0.0 }),
            }
        }
        late
    }
}

impl Wait {
    /// How much of it was inside `windows`, which follow each other.
    fn overlap_ns(&self, windows: &[Window]) -> u64 {
        let end_ns = self.due_ns + self.waited_ns;
        let first = windows.partition_point(|window| window.end_ns <= self.due_ns);
        let inside = windows[first..].iter().take_while(|window| window.begin_ns < end_ns);
        inside.map(|window| window.end_ns.min(end_ns) - window.begin_ns.max(self.due_ns)).sum()
    }
}

/// A time in which something went on.
#[derive(Clone, Copy)]
pub struct Window {
    pub begin_ns: u64,
    pub end_ns: u64,
    /// What was given back meanwhile.
    pub mib: f64,
}

impl Window {
    fn millis(self) -> f64 {
        millis(self.end_ns - self.begin_ns)
    }
}

/// All that is told of a minute.
pub struct Figures {
    /// When memory was given back.
    pub windows: Vec<Window>,
    /// From the moment of the storm to its last drop.
    pub storm: Window,
    pub insertions: Waits,
    pub reads: Waits,
    pub control: Waits,
    pub lags: Waits,
}

impl Figures {
    pub const HEAD: &str = "| allocator | give_back | filled by | inserted by | storm | given back | insertions: longest meanwhile | longest in the storm | p99.9 | p99.9 less the machine's | reads: longest meanwhile | p99.9 less the machine's | lag: longest meanwhile | longest in the storm | control: longest meanwhile | p99.9 |
| --- | --- | --: | --- | --: | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |";

    pub fn row(&self, case: &[&str; 4]) -> String {
        let told = |window: &Window| format!("{:.0} MiB in {:.0} ms", window.mib, window.millis());
        let given_back = match &*self.windows {
            [] => "–".into(),
            windows => windows.iter().map(told).collect::<Vec<_>>().join("; "),
        };
        let within = |waits: &Waits, windows: &[Window]| {
            waits.longest_ms(windows).map_or("–".into(), |longest| format!("{longest:.1}"))
        };
        let p999 = |waits: &Waits, less| format!("{:.2}", waits.exceeded_by(0.001, less));
        let (meanwhile, storm) = (&*self.windows, &[self.storm][..]);
        let late = &self.control.late();
        let cells = [
            format!("{:.0}", self.storm.millis()),
            given_back,
            within(&self.insertions, meanwhile),
            within(&self.insertions, storm),
            p999(&self.insertions, &[]),
            p999(&self.insertions, late),
            within(&self.reads, meanwhile),
            p999(&self.reads, late),
            within(&self.lags, meanwhile),
            within(&self.lags, storm),
            within(&self.control, meanwhile),
            p999(&self.control, &[]),
        ];
        format!("| {} | {} |", case.join(" | "), cells.join(" | "))
    }
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// A thread that wakes up so late was kept from it by the machine.
const LATE_NS: u64 = 500_000;
