//! What the machine gives the process: environment, cores, memory limit, host name. Read once, when the worker starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The machine, as the process sees it.
#[derive(Clone, Default)]
pub struct Host {
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Cores that the process may use; 0 when that is not known.
    pub cores: usize,
    /// Memory limit of the container in bytes; `None` when there is none.
    pub memory_limit_bytes: Option<u64>,
    /// Name of the machine.
    pub name: String,
}

impl std::fmt::Debug for Host {
    /// Without the environment, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { environment: _, cores, memory_limit_bytes, name } = self;
        f.debug_struct("Host").field("cores", cores).field("memory_limit_bytes", memory_limit_bytes).field("name", name).finish_non_exhaustive()
    }
}

impl Host {
    /// The machine that the process runs on.
    #[must_use]
    pub fn detect() -> Self {
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Self { environment, cores, memory_limit_bytes: cgroup_limit(Path::new("/")), name }
    }
}

/// The smallest memory limit of the process's control groups, version 2 or 1.
fn cgroup_limit(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            controllers if controllers.split(',').any(|c| c == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // A limit of any group above holds too. Inside a container the path may not exist: then the mount's root is the group.
        let mut group = PathBuf::from(path.trim_start_matches('/'));
        loop {
            files.push(root.join(mount).join(&group).join(file));
            if !group.pop() {
                break;
            }
        }
    }
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()).min()
}

/// Bytes of a text such as `268435456`, `256MiB`, `256MB` or `1g` (Java's `m` and `g` are powers of 1024); `None` when it is no size.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("268435456", Some(268_435_456)),
            ("256MiB", Some(268_435_456)),
            (" 256 mib ", Some(268_435_456)),
            ("256m", Some(268_435_456)),
            ("2GB", Some(2_000_000_000)),
            ("1k", Some(1024)),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1.5g", None),
            ("5 apples", None),
            ("99999999999g", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn the_smallest_limit_of_the_groups_holds() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(cgroup_limit(root.path()), None);
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(cgroup_limit(root.path()), None, "max is no limit");
        write("sys/fs/cgroup/a/memory.max", "1000\n");
        assert_eq!(cgroup_limit(root.path()), Some(1000));
        write("sys/fs/cgroup/memory.max", "500\n");
        assert_eq!(cgroup_limit(root.path()), Some(500));
        write("proc/self/cgroup", "3:cpu,memory:/x\n1:pids:/y\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "700\n");
        assert_eq!(cgroup_limit(root.path()), Some(700));
    }
}
