//! System calls that a plugin has no use for: new processes, sockets, signals to others, looks into
//! others' memory, mounts, namespaces.
//!
//! A list of what is refused, and not of what is allowed: extension modules in C use more than anybody
//! could list. The file system is Landlock's matter, the network that of the sockets refused here.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

use super::Enforced;

/// Calls of the x32 interface have the same numbers with this bit.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// Refused whatever the arguments.
const REFUSED: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tkill,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mount_setattr,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_fanotify_init,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    libc::SYS_setrlimit,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_setpriority,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
];

/// Refused where the mounts do not keep a process from changing files' modes and times elsewhere.
const METADATA: &[i64] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    // `fchmodat2`, which the C library's bindings do not name yet.
    452,
    libc::SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
];

/// Refuses them; with `metadata` also what changes modes and times of files.
pub(super) fn restrict(metadata: bool) -> Vec<Enforced> {
    match programs(metadata).and_then(|programs| {
        for program in &programs {
            apply_filter(program).map_err(|error| error.to_string())?;
        }
        Ok(())
    }) {
        Ok(()) => vec![
            Enforced::by("processes", "seccomp"),
            Enforced::by("sockets", "seccomp"),
        ],
        Err(error) => vec![
            Enforced::not("processes", format!("seccomp: {error}")),
            Enforced::not("sockets", format!("seccomp: {error}")),
        ],
    }
}

fn programs(metadata: bool) -> Result<Vec<BpfProgram>, String> {
    let mine = u64::from(std::process::id());
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    if metadata {
        refused.extend(METADATA.iter().map(|call| (*call, Vec::new())));
    }
    // Threads are clones too; a process is one without this flag.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    refused.insert(
        libc::SYS_clone,
        rule(
            0,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(thread),
            0,
        )?,
    );
    // To itself a process may send what it likes: `abort` does.
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        refused.insert(
            call,
            rule(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, mine)?,
        );
    }
    // Of itself (0) it may read its limits; new ones (a pointer that is not null) it sets for nobody.
    let mut limits = rule(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)?;
    limits.extend(rule(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?);
    refused.insert(libc::SYS_prlimit64, limits);
    // Letters typed into somebody's terminal.
    refused.insert(
        libc::SYS_ioctl,
        rule(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::TIOCSTI)?,
    );
    // Its flags lie in memory, where a filter cannot look: the C library falls back to `clone`.
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok(vec![
        program(refused, libc::EPERM)?,
        program(unknown, libc::ENOSYS)?,
    ])
}

fn rule(
    argument: u8,
    length: SeccompCmpArgLen,
    compare: SeccompCmpOp,
    value: u64,
) -> Result<Vec<SeccompRule>, String> {
    let condition = SeccompCondition::new(argument, length, compare, value)
        .map_err(|error| error.to_string())?;
    let rule = SeccompRule::new(vec![condition]).map_err(|error| error.to_string())?;
    Ok(vec![rule])
}

fn program(
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))] mut rules: BTreeMap<
        i64,
        Vec<SeccompRule>,
    >,
    error: i32,
) -> Result<BpfProgram, String> {
    #[cfg(target_arch = "x86_64")]
    for (call, rule) in rules.clone() {
        rules.insert(call | X32, rule);
    }
    let target = std::env::consts::ARCH
        .try_into()
        .map_err(|_| "no filter for this processor".to_owned())?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(error.unsigned_abs()),
        target,
    )
    .map_err(|error| error.to_string())?;
    filter
        .try_into()
        .map_err(|error: seccompiler::BackendError| error.to_string())
}
