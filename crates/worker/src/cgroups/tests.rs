use std::process::{Child, Command};

use super::*;

fn limits() -> Watched {
    Watched {
        memory_bytes: Some(64_000_000),
        cpu_percent: Some(50.0),
        disk_bytes_per_second: Some(10_000_000),
        threads: Some(40),
    }
}

/// A directory with the files that the kernel would have there.
fn made(controllers: &str, pids: &[u32]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    fs::write(root.path().join("cgroup.controllers"), controllers).unwrap();
    fs::write(root.path().join("cgroup.procs"), pids.join("\n")).unwrap();
    root
}

fn said(dir: &Path, file: &str) -> Option<String> {
    fs::read_to_string(dir.join(file)).ok()
}

struct Sleeping(Child);

impl Sleeping {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_worker_has_a_group_with_its_limits() {
    let child = Sleeping::start();
    let own = std::process::id();
    let root = made("cpuset cpu io memory hugetlb pids\n", &[own, child.0.id()]);
    fs::create_dir(root.path().join(format!("{WORKER}1"))).unwrap();
    let groups = Groups::at(root.path()).unwrap();
    assert!(!root.path().join(format!("{WORKER}1")).exists());
    let handed_on = said(root.path(), "cgroup.subtree_control");
    assert_eq!(handed_on.as_deref(), Some("+memory +cpu +io +pids"));
    // One number at a time is written; the last is the child's.
    let leaf = root.path().join(GATEWAY);
    assert_eq!(said(&leaf, "cgroup.procs"), Some(child.0.id().to_string()));

    let group = groups.confine(77, &limits(), None).unwrap();
    let dir = root.path().join(format!("{WORKER}77"));
    for (file, value) in [
        ("memory.max", "64000000"),
        ("memory.swap.max", "0"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "40"),
        ("cgroup.procs", "77"),
    ] {
        assert_eq!(said(&dir, file).as_deref(), Some(value), "{file}");
    }
    let kept: Vec<_> = group.enforced().map(|each| (each.name, each.by)).collect();
    let by = |name: &str| (name.to_owned(), "cgroup".to_owned());
    assert_eq!(kept, [by("memory"), by("cpu"), by("threads")]);
    assert!(group.keeps("cpu") && !group.keeps("disk_io"));

    assert!(!group.has_run_out_of_memory());
    let events = "low 0\nhigh 0\nmax 9\noom 1\noom_kill 0\n";
    fs::write(dir.join("memory.events"), events).unwrap();
    assert!(!group.has_run_out_of_memory());
    fs::write(
        dir.join("memory.events"),
        events.replace("kill 0", "kill 1"),
    )
    .unwrap();
    assert!(group.has_run_out_of_memory());
    // The kernel's files go with their directory.
    for file in fs::read_dir(&dir).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    drop(group);
    assert!(!dir.exists());
}

#[test]
fn only_what_was_delegated_is_made_use_of() {
    let root = made("memory", &[]);
    let groups = Groups::at(root.path()).unwrap();
    let group = groups.confine(77, &limits(), None).unwrap();
    assert!(group.keeps("memory") && !group.keeps("cpu") && !group.keeps("threads"));
    let none = Groups::at(made("hugetlb cpuset", &[]).path()).unwrap_err();
    assert!(none.contains("none of the controllers"), "{none}");
    let nothing = Groups::at(&root.path().join("missing")).unwrap_err();
    assert!(nothing.contains("missing"), "{nothing}");
}

#[test]
fn a_group_in_which_others_live_is_left_alone() {
    let root = made("memory cpu io pids", &[std::process::id(), 1]);
    let refused = Groups::at(root.path()).unwrap_err();
    assert!(refused.contains("others live in it too"), "{refused}");
    assert!(!root.path().join(GATEWAY).exists());
    assert_eq!(said(root.path(), "cgroup.subtree_control"), None);
}

#[test]
fn the_own_group_is_found_by_what_proc_tells() {
    let mounts = "25 18 0:22 / /sys rw - sysfs sysfs rw\n\
                  31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
    let unit = "0::/system.slice/mozaiks.service\n";
    let found = own_directory(unit, mounts).unwrap();
    assert_eq!(
        found,
        Path::new("/sys/fs/cgroup/system.slice/mozaiks.service")
    );
    assert_eq!(
        own_directory("0::/\n", mounts).unwrap(),
        Path::new("/sys/fs/cgroup/")
    );
    let part = mounts.replace("0:27 / ", "0:27 /docker/abc ");
    let found = own_directory("1:name=systemd:/\n0::/docker/abc/x\n", &part).unwrap();
    assert_eq!(found, Path::new("/sys/fs/cgroup/x"));
    assert_eq!(own_directory("0::/elsewhere\n", &part), None);
    assert_eq!(own_directory("4:memory:/\n", mounts), None);
    assert_eq!(
        own_directory(unit, "25 18 0:22 / /sys rw - sysfs sysfs rw\n"),
        None
    );
}

/// The kernel's own: limits where it has delegated controllers, else as far as it goes.
#[test]
fn the_kernel_keeps_what_it_has_delegated() {
    let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let Some(own) = own_directory(&read("cgroup"), &read("mountinfo")) else {
        eprintln!("skipped: there are no control groups (version 2) on this machine");
        return;
    };
    let delegated = own.join(format!("mozaiks-test-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&delegated) {
        eprintln!("skipped: {}: {error}", delegated.display());
        return;
    }
    let _gone = scopeguard(&delegated);
    let listed = said(&delegated, "cgroup.controllers").unwrap_or_default();
    match Groups::at(&delegated) {
        Ok(groups) => {
            let mut child = Sleeping::start();
            let group = groups.confine(child.0.id(), &limits(), None).unwrap();
            let now = fs::read_to_string(format!("/proc/{}/cgroup", child.0.id())).unwrap();
            assert!(now.contains(WORKER), "{now}");
            if group.keeps("memory") {
                // In whole pages.
                assert_eq!(said(&group.dir, "memory.max").unwrap().trim(), "64000000");
            }
            child.0.kill().unwrap();
            child.0.wait().unwrap();
            let dir = group.dir.clone();
            drop(group);
            assert!(!dir.exists());
        }
        Err(why) => {
            eprintln!(
                "skipped, but for joining and leaving: {why} (it has: {})",
                listed.trim()
            );
            let groups = Groups {
                root: delegated.clone(),
                controllers: Vec::new(),
            };
            let mut child = Sleeping::start();
            let group = groups.confine(child.0.id(), &limits(), None).unwrap();
            let now = fs::read_to_string(format!("/proc/{}/cgroup", child.0.id())).unwrap();
            assert!(now.contains(WORKER), "{now}");
            child.0.kill().unwrap();
            child.0.wait().unwrap();
            let dir = group.dir.clone();
            drop(group);
            assert!(!dir.exists());
        }
    }
}

/// Takes a group away at the end of a test.
fn scopeguard(dir: &Path) -> impl Drop + use<> {
    struct Gone(PathBuf);
    impl Drop for Gone {
        fn drop(&mut self) {
            fs::remove_dir(self.0.join(GATEWAY)).ok();
            fs::remove_dir(&self.0).ok();
        }
    }
    Gone(dir.to_owned())
}
