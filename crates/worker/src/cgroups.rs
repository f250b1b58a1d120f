//! Limits that the kernel keeps by itself: a control group (version 2) for each worker, where the gateway
//! has been given a group of its own with controllers.
//!
//! Processes may be in leaves alone, so the gateway and its children move into one first. Where others live in
//! its group, or nothing was delegated, it is left as it is, and limits are looked at as elsewhere.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{confine::Enforced, sampler::Watched};

/// Where the gateway and what it starts live; those of workers are beside it.
const GATEWAY: &str = "mozaiks-gateway";
const WORKER: &str = "mozaiks-worker-";
/// What is made use of, where it is there.
const CONTROLLERS: [&str; 4] = ["memory", "cpu", "io", "pids"];
/// Microseconds in which a share of the processor is counted.
const PERIOD_MICROS: u64 = 100_000;

/// The gateway's own group, in which workers have theirs.
#[derive(Debug)]
pub(crate) struct Groups {
    root: PathBuf,
    controllers: Vec<&'static str>,
}

/// The group of one worker; taken away when dropped, which is after its process has ended.
#[derive(Debug)]
pub(crate) struct Group {
    dir: PathBuf,
    kept: Vec<&'static str>,
}

impl Groups {
    /// Those of this process.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn of_process() -> Result<Self, String> {
        let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}"));
        let groups = read("cgroup").map_err(|error| error.to_string())?;
        let mounts = read("mountinfo").map_err(|error| error.to_string())?;
        let root = own_directory(&groups, &mounts).ok_or("no control groups (version 2) here")?;
        Self::at(&root)
    }

    /// Those in a directory of the kernel's.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn at(root: &Path) -> Result<Self, String> {
        let listed = fs::read_to_string(root.join("cgroup.controllers"))
            .map_err(|error| format!("{}: {error}", root.display()))?;
        let there: Vec<&str> = listed.split_ascii_whitespace().collect();
        let controllers = CONTROLLERS.into_iter();
        let controllers: Vec<_> = controllers.filter(|name| there.contains(name)).collect();
        if controllers.is_empty() {
            return Err(format!(
                "{} has none of the controllers {}",
                root.display(),
                CONTROLLERS.join(", ")
            ));
        }
        let failed = |what: &str, error: io::Error| format!("{}: {what}: {error}", root.display());
        move_own(root)?;
        let wanted: Vec<String> = controllers.iter().map(|name| format!("+{name}")).collect();
        fs::write(root.join("cgroup.subtree_control"), wanted.join(" "))
            .map_err(|error| failed("its controllers cannot be handed on", error))?;
        remove_left_over(root);
        Ok(Self {
            root: root.to_owned(),
            controllers,
        })
    }

    /// Puts a process that runs nothing of a plugin's yet into a group with these limits; `files` is where it
    /// writes.
    ///
    /// # Errors
    /// What the kernel refuses; the process stays where it was then.
    pub(crate) fn confine(
        &self,
        pid: u32,
        limits: &Watched,
        files: Option<&Path>,
    ) -> io::Result<Group> {
        let dir = self.root.join(format!("{WORKER}{pid}"));
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut group = Group {
            dir,
            kept: Vec::new(),
        };
        let has = |name: &str| self.controllers.contains(&name);
        if let Some(bytes) = limits.memory_bytes.filter(|_| has("memory")) {
            group.set("memory.max", &bytes.to_string())?;
            // Memory that is written out to the disk is memory all the same; not all kernels count it.
            group.set("memory.swap.max", "0").ok();
            group.kept.push("memory");
        }
        if let Some(percent) = limits.cpu_percent.filter(|_| has("cpu")) {
            let micros = (percent / 100.0 * PERIOD_MICROS as f64).max(1000.0) as u64;
            group.set("cpu.max", &format!("{micros} {PERIOD_MICROS}"))?;
            group.kept.push("cpu");
        }
        if let Some(tasks) = limits.threads.filter(|_| has("pids")) {
            group.set("pids.max", &tasks.to_string())?;
            group.kept.push("threads");
        }
        if let Some(rate) = limits.disk_bytes_per_second.filter(|_| has("io"))
            && let Some(device) = files.and_then(device_of)
        {
            // Not every device takes it.
            if group
                .set("io.max", &format!("{device} wbps={rate}"))
                .is_ok()
            {
                group.kept.push("disk_io");
            }
        }
        group.set("cgroup.procs", &pid.to_string())?;
        Ok(group)
    }
}

impl Group {
    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.dir.join(file), value)
    }

    /// Whether the kernel sees to a limit by this group.
    pub(crate) fn keeps(&self, limit: &str) -> bool {
        self.kept.contains(&limit)
    }

    /// The limits that it keeps, for admins.
    pub(crate) fn enforced(&self) -> impl Iterator<Item = Enforced> {
        self.kept.iter().map(|name| Enforced::by(name, "cgroup"))
    }

    /// Whether the kernel has ended a process in it for want of memory.
    pub(crate) fn has_run_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.dir.join("memory.events")).unwrap_or_default();
        events
            .lines()
            .filter_map(|line| line.strip_prefix("oom_kill "))
            .any(|count| count.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.dir) {
            tracing::debug!(dir = %self.dir.display(), %error, "a control group stays");
        }
    }
}

/// The directory of the group that a process is in, as `/proc` tells.
fn own_directory(groups: &str, mounts: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next()? == "cgroup2").then_some(before)
    })?;
    let mut fields = mount.split(' ').skip(3);
    let (root, place) = (fields.next()?, fields.next()?);
    // What is mounted may be a part of the tree.
    let below = path.strip_prefix(root.trim_end_matches('/'))?;
    Some(Path::new(place).join(below.trim_start_matches('/')))
}

/// Moves the gateway and its children out of a group that is to have groups below it.
fn move_own(root: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", root.display());
    let leaf = root.join(GATEWAY);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let listed = fs::read_to_string(root.join("cgroup.procs")).map_err(failed)?;
    let pids: Vec<u32> = listed
        .lines()
        .filter_map(|pid| pid.trim().parse().ok())
        .collect();
    if let Some(other) = pids.iter().find(|pid| !is_own(**pid)) {
        fs::remove_dir(&leaf).ok();
        return Err(format!(
            "{}: others live in it too, such as the process {other}",
            root.display()
        ));
    }
    for pid in pids {
        match fs::write(leaf.join("cgroup.procs"), pid.to_string()) {
            // It has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            other => other.map_err(failed)?,
        }
    }
    Ok(())
}

/// Whether a process is this one or a child of it.
fn is_own(pid: u32) -> bool {
    let own = std::process::id();
    let parent = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    pid == own || parent() == Some(own)
}

/// Groups of workers of a gateway that was ended without having had the time.
fn remove_left_over(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORKER) {
            // One that is in use is refused.
            fs::remove_dir(entry.path()).ok();
        }
    }
}

/// The disk that a directory is on, as `major:minor`; `None` where it is on none.
fn device_of(dir: &Path) -> Option<String> {
    let device = fs::metadata(dir).ok()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let name = format!("{major}:{minor}");
    let block = fs::canonicalize(format!("/sys/dev/block/{name}")).ok()?;
    if !block.join("partition").exists() {
        return Some(name);
    }
    // The kernel limits whole disks.
    let disk = fs::read_to_string(block.parent()?.join("dev")).ok()?;
    Some(disk.trim().to_owned())
}

#[cfg(test)]
mod tests;
