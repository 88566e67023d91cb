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

    /// The wait that only `share` of them exceed, and the longest, as they are printed.
    fn spread(&self, share: f64) -> String {
        let mut sorted: Vec<u64> = self.0.iter().map(|wait| wait.waited_ns).collect();
        sorted.sort_unstable();
        let Some(&longest) = sorted.last() else { return "–".into() };
        let rank = (sorted.len() as f64 * (1.0 - share)) as usize;
        let at_rank = sorted[rank.min(sorted.len() - 1)];
        format!("{:.2} / {:.1}", millis(at_rank), millis(longest))
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
    pub const HEAD: &str = "| allocator | give_back | filled by | inserted by | storm, ms | given back | insertions: longest meanwhile, ms | longest in the storm | p99.9 / longest of the minute | reads: longest meanwhile | p99.9 / longest | lag of deadlines: longest meanwhile | p99 / longest | control: longest meanwhile | p99.9 / longest |
| --- | --- | --: | --- | --: | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |";

    pub fn row(&self, case: &[&str; 4]) -> String {
        let told = |window: &Window| format!("{:.0} MiB in {:.0} ms", window.mib, window.millis());
        let given_back = match &*self.windows {
            [] => "–".into(),
            windows => windows.iter().map(told).collect::<Vec<_>>().join("; "),
        };
        let meanwhile = |waits: &Waits| {
            waits.longest_ms(&self.windows).map_or("–".into(), |longest| format!("{longest:.1}"))
        };
        let cells = [
            format!("{:.0}", self.storm.millis()),
            given_back,
            meanwhile(&self.insertions),
            format!("{:.1}", self.insertions.longest_ms(&[self.storm]).unwrap_or(0.0)),
            self.insertions.spread(0.001),
            meanwhile(&self.reads),
            self.reads.spread(0.001),
            meanwhile(&self.lags),
            self.lags.spread(0.01),
            meanwhile(&self.control),
            self.control.spread(0.001),
        ];
        format!("| {} | {} |", case.join(" | "), cells.join(" | "))
    }
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
