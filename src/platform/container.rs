//! The memory limit of the control group that the process runs in, and what counts towards it.
//!
//! `/proc/self/cgroup` names the process's groups: one line `0::/path` under version 2, one line
//! with the controller `memory` under version 1 \[1\]. A limit of any ancestor holds for the process
//! too, so all are asked and the smallest counts. Inside a container the path may be the host's,
//! which does not exist there; then the mount's root is the container's own group.
//!
//! \[1\] Linux, `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst`.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes in use that count towards the limit, and the limit; `None` where there is none.
pub(crate) fn memory() -> (Option<u64>, Option<u64>) {
    memory_under(Path::new("/"))
}

/// The same, with `/proc` and `/sys` looked for under `root`.
fn memory_under(root: &Path) -> (Option<u64>, Option<u64>) {
    let Ok(groups) = fs::read_to_string(root.join("proc/self/cgroup")) else {
        return (None, None);
    };
    let found = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let files = if controllers.split(',').any(|controller| controller == "memory") {
            &VERSION_1
        } else if controllers.is_empty() && root.join("sys/fs/cgroup/cgroup.controllers").exists() {
            &VERSION_2
        } else {
            return None;
        };
        Some((files, path))
    });
    let Some((files, path)) = found else { return (None, None) };
    let mount = root.join(files.mount);
    let is_inside = !path.split('/').any(|part| part == "..");
    let own = Some(mount.join(path.trim_start_matches('/')));
    let own = own.filter(|group| is_inside && group.exists()).unwrap_or_else(|| mount.clone());
    let limited = smallest_limit(files, &own, &mount);
    let (group, limit) = limited.map_or((own, None), |(group, limit)| (group, Some(limit)));
    (in_use(files, &group), limit)
}

/// Where a version of control groups keeps what is asked for.
struct Files {
    mount: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// The field of `memory.stat` that counts the file pages that are reclaimed first.
    reclaimable: &'static str,
}

const VERSION_1: Files = Files {
    mount: "sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

const VERSION_2: Files = Files {
    mount: "sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: "inactive_file",
};

/// The group with the smallest limit, from `own` up to `mount`.
fn smallest_limit(files: &Files, own: &Path, mount: &Path) -> Option<(PathBuf, u64)> {
    let groups = own.ancestors().take_while(|group| group.starts_with(mount));
    let limits = groups.filter_map(|group| {
        let limit = number_in(&group.join(files.limit))?;
        (limit < NO_LIMIT).then(|| (group.to_path_buf(), limit))
    });
    limits.min_by_key(|&(_, limit)| limit)
}

fn in_use(files: &Files, group: &Path) -> Option<u64> {
    let usage = number_in(&group.join(files.usage))?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let reclaimable = stat.lines().find_map(|line| {
        let (name, bytes) = line.split_once(' ')?;
        (name == files.reclaimable).then(|| bytes.parse::<u64>().ok()).flatten()
    });
    Some(usage.saturating_sub(reclaimable.unwrap_or(0)))
}

/// The number in a file; `None` for version 2's `max`, too.
fn number_in(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Version 1 writes "no limit" as the greatest multiple of a page below 2^63.
const NO_LIMIT: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own that goes with the test.
    struct Root(PathBuf);

    impl Root {
        fn with(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("sundown-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn memory(&self) -> (Option<u64>, Option<u64>) {
            memory_under(&self.0)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn version_2_counts_the_smallest_limit_of_all_ancestors() {
        let root = Root::with(
            "v2",
            &[
                ("proc/self/cgroup", "0::/pod/web\n"),
                ("sys/fs/cgroup/cgroup.controllers", "memory\n"),
                ("sys/fs/cgroup/pod/memory.max", "1000000\n"),
                ("sys/fs/cgroup/pod/memory.current", "700000\n"),
                ("sys/fs/cgroup/pod/memory.stat", "anon 5\ninactive_file 100000\n"),
                ("sys/fs/cgroup/pod/web/memory.max", "max\n"),
                ("sys/fs/cgroup/pod/web/memory.current", "400000\n"),
            ],
        );
        assert_eq!(root.memory(), (Some(600_000), Some(1_000_000)));
    }

    #[test]
    fn version_2_inside_a_namespace_asks_the_mount_itself() {
        let root = Root::with(
            "v2-namespace",
            &[
                ("proc/self/cgroup", "0::/../../host/path\n"),
                ("sys/fs/cgroup/cgroup.controllers", "memory\n"),
                ("sys/fs/cgroup/memory.max", "2000\n"),
                ("sys/fs/cgroup/memory.current", "1500\n"),
            ],
        );
        assert_eq!(root.memory(), (Some(1_500), Some(2_000)));
    }

    #[test]
    fn version_1_without_a_limit_tells_only_what_is_in_use() {
        let root = Root::with(
            "v1",
            &[
                ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000\n"),
                ("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 1000\n"),
            ],
        );
        assert_eq!(root.memory(), (Some(4_000), None));
    }

    #[test]
    fn version_1_with_a_limit_is_read() {
        let root = Root::with(
            "v1-limit",
            &[
                ("proc/self/cgroup", "4:memory:/docker/abc\n"),
                ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "8000\n"),
                ("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "5000\n"),
            ],
        );
        assert_eq!(root.memory(), (Some(5_000), Some(8_000)));
    }

    #[test]
    fn without_control_groups_nothing_is_known() {
        assert_eq!(Root::with("none", &[]).memory(), (None, None));
        let garbled = Root::with("garbled", &[("proc/self/cgroup", "memory\n:\n7:memory\n")]);
        assert_eq!(garbled.memory(), (None, None));
    }
}
