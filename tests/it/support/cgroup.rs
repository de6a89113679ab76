//! A group of processes with bounds of its own on memory and tasks, by the kernel (cgroups, either version).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::house::eventually;
use super::peers::skip;

const ROOT: &str = "/sys/fs/cgroup";

/// Makes the names of groups differ in one run of tests.
static GROUPS: AtomicUsize = AtomicUsize::new(0);

/// A bound that a group can have.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Bytes of memory, without swap.
    Memory,
    /// Processes and threads.
    Tasks,
}

/// A group without processes of its own; removed when it is dropped, after those that were started in it.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    bound: Bound,
}

impl Bound {
    fn controller(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tasks => "pids",
        }
    }
}

impl Cgroup {
    /// One that can bound this. Without: the test is to return at once, as by [`super::peers::need`].
    #[track_caller]
    pub fn with(bound: Bound) -> Option<Self> {
        let name = format!(
            "dockgate-test-{}-{}",
            process::id(),
            GROUPS.fetch_add(1, Ordering::Relaxed)
        );
        match Self::make(&name, bound) {
            Ok(group) => Some(group),
            Err(error) => {
                let controller = bound.controller();
                skip(&format!("no cgroup for {controller} can be made: {error}"));
                None
            }
        }
    }

    fn make(name: &str, bound: Bound) -> io::Result<Self> {
        let controller = bound.controller();
        let second = fs::read_to_string(Path::new(ROOT).join("cgroup.subtree_control"));
        let above = match second {
            Ok(delegated) if delegated.split_whitespace().any(|c| c == controller) => ROOT.into(),
            Ok(_) => return Err(io::Error::other("the controller is not delegated")),
            Err(_) => Path::new(ROOT).join(controller),
        };
        // Where the controller is not mounted, this would be a folder like others.
        fs::metadata(above.join("cgroup.procs"))?;
        let folder = above.join(name);
        fs::create_dir(&folder)?;
        Ok(Self { folder, bound })
    }

    /// A command line that enters the group and goes on as what follows it.
    pub fn entering(&self) -> Vec<String> {
        let enter = format!(
            "echo $$ > {}/cgroup.procs && exec \"$@\"",
            self.folder.display()
        );
        ["sh", "-c", &enter, "sh"].map(str::to_owned).into()
    }

    /// Sets the bound; `None` lifts it.
    #[track_caller]
    pub fn allow(&self, most: Option<u64>) {
        let (second, first, beside) = match self.bound {
            Bound::Memory => (
                "memory.max",
                "memory.limit_in_bytes",
                &["memory.swap.max", "memory.memsw.limit_in_bytes"][..],
            ),
            Bound::Tasks => ("pids.max", "pids.max", &[][..]),
        };
        let is_second = self.folder.join(second).exists();
        let (name, unbounded) = if is_second {
            (second, "max")
        } else {
            (first, if first == second { "max" } else { "-1" })
        };
        let text = most.map_or(unbounded.to_owned(), |most| most.to_string());
        fs::write(self.folder.join(name), text.as_bytes()).unwrap();
        for name in beside {
            let file = self.folder.join(name);
            if file.exists() {
                let text = if name.contains("swap.max") {
                    "0"
                } else {
                    &text
                };
                fs::write(file, text.as_bytes()).unwrap();
            }
        }
    }

    /// How many of its processes the kernel has killed for want of memory.
    #[track_caller]
    pub fn killed(&self) -> u64 {
        self.count("memory.events", "memory.oom_control", "oom_kill")
    }

    /// How often the kernel has refused a task.
    #[track_caller]
    pub fn refused(&self) -> u64 {
        self.count("pids.events", "pids.events", "max")
    }

    #[track_caller]
    fn count(&self, second: &str, first: &str, key: &str) -> u64 {
        let text = fs::read_to_string(self.folder.join(second))
            .or_else(|_| fs::read_to_string(self.folder.join(first)))
            .unwrap();
        let line = text.lines().find_map(|line| {
            let (name, count) = line.split_once(' ')?;
            (name == key).then_some(count)
        });
        line.unwrap().parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Busy until the kernel has put away the last process.
        if std::thread::panicking() {
            let _ = fs::remove_dir(&self.folder);
        } else {
            eventually(|| fs::remove_dir(&self.folder).ok());
        }
    }
}
