//! What a process and all its children have used, read from `/proc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// CPU time of the process `root` and everything it started, from the scheduler's own count in nanoseconds: the ticks
/// of `utime` are ten milliseconds, which is as much as a whole run of small requests takes.
pub fn cpu(root: u32) -> Duration {
    let nanos: u64 = family(root).into_iter().map(cpu_of).sum();
    Duration::from_nanos(nanos)
}

fn cpu_of(process: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return 0;
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Memory of the tree in KiB, pages shared among processes counted once (`Pss`).
pub fn memory_kib(root: u32) -> u64 {
    family(root)
        .into_iter()
        .filter_map(|process| fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok())
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("Pss:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .sum()
}

/// Bytes of the files below `dir` that the tree has open, those that were unlinked at once among them: nginx's temporary
/// files have no name.
pub fn open_file_bytes(root: u32, dir: &Path) -> u64 {
    family(root)
        .into_iter()
        .filter_map(|process| fs::read_dir(format!("/proc/{process}/fd")).ok())
        .flat_map(Iterator::flatten)
        .filter(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.starts_with(dir)))
        .filter_map(|fd| fs::metadata(fd.path()).ok())
        .filter(fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}

/// The process and its descendants.
fn family(root: u32) -> Vec<u32> {
    let mut family = vec![root];
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|process| Some((process, parent(process)?)))
        .collect();
    let mut seen = 0;
    while let Some(&one) = family.get(seen) {
        seen += 1;
        let children = parents.iter().filter(|(_, parent)| *parent == one);
        family.extend(children.map(|(child, _)| *child));
    }
    family
}

/// The fourth field of `stat`; the second, the name, may have spaces and brackets in it.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}
