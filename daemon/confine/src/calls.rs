//! The system calls that a runner cannot make: seccomp, see seccomp(2).
//!
//! This is a deny list, because drivers of accelerators use a great many calls.
//! A refused call fails with `EPERM`, as without the privilege, so that code that only tries it continues.
//! Without an accelerator there is an allow list as well, see `needed`.
//! The Linux kernel caches which calls the filters always allow and skips the filters for them, so decoding costs the same with them.

use std::collections::BTreeMap;

use libc::{c_int, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::{
    Needs,
    needed::{NEEDED, NEEDED_BY_OLD_NAMES},
};

/// Refused with any arguments.
const REFUSED: &[c_long] = &[
    // Other processes: their memory, files and descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    // Programs and namespaces.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_setsid,
    libc::SYS_setpgid,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_personality,
    // File systems.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_mknodat,
    libc::SYS_quotactl,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Modes, owners, times and attributes of files, which Landlock does not cover.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // Interfaces of the Linux kernel with many vulnerabilities, and ways around this filter.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // The network. The runner's only socket is open already.
    libc::SYS_connect,
    // System V and POSIX message queues, semaphores and shared memory of the user.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// Older calls of the same kind, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const REFUSED_BY_OLD_NAMES: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_mknod,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];

#[cfg(not(target_arch = "x86_64"))]
const REFUSED_BY_OLD_NAMES: &[c_long] = &[];

/// Newer calls, by their numbers, which are the same on all architectures: `quotactl_fd`, `fchmodat2`, `setxattrat`,
/// `removexattrat`, `open_tree_attr` and `file_setattr`.
const REFUSED_BY_NUMBER: &[c_long] = &[443, 452, 463, 466, 467, 469];

/// Calls on new sockets, which drivers of accelerators use among their threads.
const SOCKETS: &[c_long] = &[
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
];

/// Refuses the calls to all threads of this process and to threads that they start later.
///
/// # Errors
/// The system's error, or an unknown architecture.
pub(super) fn restrict(needs: &Needs) -> Result<(), String> {
    for program in programs(needs, rustix::process::getpid().as_raw_nonzero().get())? {
        seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The filters in the order in which they are installed; each can refuse a call. `own` is the id of this process.
/// When two refuse the same call, the error is that of the later one.
fn programs(needs: &Needs, own: c_int) -> Result<Vec<BpfProgram>, String> {
    let processor = TargetArch::try_from(std::env::consts::ARCH).map_err(|_| {
        format!(
            "no filter for processors of the kind {}",
            std::env::consts::ARCH
        )
    })?;
    let filter = |rules, other, listed| -> Result<BpfProgram, seccompiler::BackendError> {
        SeccompFilter::new(rules, other, listed, processor)?.try_into()
    };
    let error = |errno: c_int| {
        SeccompAction::Errno(u32::try_from(errno).expect("numbers of errors are small"))
    };
    let build = || -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
        let mut programs = Vec::new();
        if !needs.drivers() {
            let needed = [NEEDED, NEEDED_BY_OLD_NAMES].concat();
            let mut needed: BTreeMap<i64, Vec<SeccompRule>> =
                needed.into_iter().map(|call| (call, Vec::new())).collect();
            needed.extend(tile_permission()?);
            programs.push(filter(needed, error(libc::ENOSYS), SeccompAction::Allow)?);
        }
        // A filter cannot read the arguments of clone3, which are in memory. It fails with ENOSYS, so that the C library starts
        // threads with clone, whose arguments are in registers.
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        programs.extend([
            filter(rules(needs, own)?, SeccompAction::Allow, error(libc::EPERM))?,
            filter(clone3, SeccompAction::Allow, error(libc::ENOSYS))?,
        ]);
        Ok(programs)
    };
    let mut programs = build().map_err(|error| error.to_string())?;
    programs.extend(other_numbers());
    Ok(programs)
}

/// The calls of the main filter with the arguments that are refused; no arguments means all.
fn rules(
    needs: &Needs,
    own: c_int,
) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let always = [REFUSED, REFUSED_BY_OLD_NAMES, REFUSED_BY_NUMBER].concat();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        always.into_iter().map(|call| (call, Vec::new())).collect();

    // A new process; a new thread is allowed.
    let thread = bits(libc::CLONE_THREAD);
    rules.insert(
        libc::SYS_clone,
        vec![when(&[(0, Is::MaskedEq(thread), 0)])?],
    );
    // Signals and limits of other processes.
    let own = bits(own);
    for call in [
        libc::SYS_kill,
        libc::SYS_tgkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
    ] {
        rules.insert(call, vec![when(&[(0, Is::Ne, own)])?]);
    }
    rules.insert(
        libc::SYS_prlimit64,
        vec![when(&[(0, Is::Ne, own), (0, Is::Ne, 0)])?],
    );
    // What `at_start` has set.
    let settled = [
        libc::PR_SET_PDEATHSIG,
        libc::PR_SET_DUMPABLE,
        libc::PR_SET_PTRACER,
    ];
    let settled = settled.map(|option| when(&[(0, Is::Eq, bits(option))]));
    rules.insert(
        libc::SYS_prctl,
        settled.into_iter().collect::<Result<_, _>>()?,
    );
    // Input into a terminal.
    let keys = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| when(&[(1, Is::Eq, request)]));
    rules.insert(libc::SYS_ioctl, keys.into_iter().collect::<Result<_, _>>()?);

    if needs.drivers() {
        // Connected pairs between its own threads are allowed; `connect` to others is refused.
        let kind = |kind: c_int| (1, Is::MaskedEq(0xf), bits(kind));
        rules.insert(
            libc::SYS_socket,
            vec![
                when(&[(0, Is::Ne, bits(libc::AF_UNIX))])?,
                when(&[kind(libc::SOCK_DGRAM)])?,
                when(&[kind(libc::SOCK_RAW)])?,
            ],
        );
    } else {
        rules.insert(libc::SYS_socket, Vec::new());
        rules.extend(SOCKETS.iter().map(|call| (*call, Vec::new())));
        // Memory that is writable and executable, in which drivers of accelerators compile code.
        let both = bits(libc::PROT_WRITE | libc::PROT_EXEC);
        rules.insert(
            libc::SYS_mmap,
            vec![when(&[(2, Is::MaskedEq(both), both)])?],
        );
        let run = bits(libc::PROT_EXEC);
        for call in [libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
            rules.insert(call, vec![when(&[(2, Is::MaskedEq(run), run)])?]);
        }
    }
    Ok(rules)
}

/// The permission for AMX tiles, which llama.cpp requests each time it checks whether an operation can use AMX (`ggml_amx_init`);
/// refused, it would never use AMX. `ARCH_REQ_XCOMP_PERM` of `asm/prctl.h`.
#[cfg(target_arch = "x86_64")]
fn tile_permission() -> Result<Option<(i64, Vec<SeccompRule>)>, seccompiler::BackendError> {
    const REQUEST_PERMISSION: u64 = 0x1023;
    let request = when(&[(0, Is::Eq, REQUEST_PERMISSION)])?;
    Ok(Some((libc::SYS_arch_prctl, vec![request])))
}

#[cfg(not(target_arch = "x86_64"))]
fn tile_permission() -> Result<Option<(i64, Vec<SeccompRule>)>, seccompiler::BackendError> {
    Ok(None)
}

/// A rule that matches when all of these 32-bit arguments match: index, comparison, value.
fn when(arguments: &[(u8, Is, u64)]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = arguments
        .iter()
        .map(|(index, is, value)| SeccompCondition::new(*index, Len::Dword, is.clone(), *value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// A C int as the filter compares it.
fn bits(number: c_int) -> u64 {
    u64::from(number.cast_unsigned())
}

/// A filter that kills the process at a call of the x32 ABI, which has all calls a second time above this number, because the
/// other filters do not know these numbers.
#[cfg(target_arch = "x86_64")]
fn other_numbers() -> Option<BpfProgram> {
    use seccompiler::sock_filter;

    const X32: u32 = 0x4000_0000;
    // Load the number, the first field; skip the kill if it is lower; kill; allow.
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let (load, jump_if_not_less, end) = (0x20, 0x35, 0x06);
    Some(vec![
        instruction(load, 0, 0, 0),
        instruction(jump_if_not_less, 0, 1, X32),
        instruction(end, 0, 0, u32::from(SeccompAction::KillProcess)),
        instruction(end, 0, 0, u32::from(SeccompAction::Allow)),
    ])
}

#[cfg(not(target_arch = "x86_64"))]
fn other_numbers() -> Option<BpfProgram> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: c_int = 4711;

    /// Runs a filter on a call. Knows only the instructions that these filters have, see bpf(4) and `linux/filter.h`.
    fn run(program: &BpfProgram, call: c_long, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(u32::try_from(call).unwrap().to_le_bytes());
        data.extend(processor().to_le_bytes());
        data.extend(0u64.to_le_bytes());
        arguments
            .iter()
            .for_each(|argument| data.extend(argument.to_le_bytes()));
        let (mut at, mut value) = (0, 0u32);
        loop {
            let now = &program[at];
            let jump = |yes: bool| usize::from(if yes { now.jt } else { now.jf });
            at += 1;
            match now.code {
                0x20 => {
                    let from = now.k as usize;
                    value = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                0x54 => value &= now.k,
                0x05 => at += now.k as usize,
                0x15 => at += jump(value == now.k),
                0x25 => at += jump(value > now.k),
                0x35 => at += jump(value >= now.k),
                0x06 => return now.k,
                other => panic!("an instruction {other:#x} that this test does not know"),
            }
        }
    }

    /// The Linux kernel's number of this architecture, from `linux/audit.h`.
    fn processor() -> u32 {
        match std::env::consts::ARCH {
            "x86_64" => 0xc000_003e,
            "aarch64" => 0xc000_00b7,
            "riscv64" => 0xc000_00f3,
            other => panic!("no tests for {other}"),
        }
    }

    /// The result of all filters: the strictest counts.
    fn verdict(devices: bool, call: c_long, arguments: [u64; 6]) -> u32 {
        let needs = Needs {
            backends: devices.then(|| "vulkan".to_owned()).into_iter().collect(),
            ..Needs::default()
        };
        let programs = programs(&needs, OWN).unwrap();
        let verdicts = programs.iter().map(|program| run(program, call, arguments));
        // The latest filter runs first, and of two equally strict results the first counts.
        // As a signed number, the strictest action is the least.
        verdicts
            .rev()
            .min_by_key(|verdict| (verdict & 0xffff_0000).cast_signed())
            .unwrap()
    }

    const ALLOWED: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;

    #[track_caller]
    fn check(call: c_long, arguments: &[u64], expected: u32) {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        for devices in [false, true] {
            let found = verdict(devices, call, all);
            assert_eq!(
                found, expected,
                "call {call}, devices {devices}: {found:#x}"
            );
        }
    }

    #[test]
    fn what_is_on_the_list_is_refused() {
        for call in [REFUSED, REFUSED_BY_OLD_NAMES, REFUSED_BY_NUMBER].concat() {
            check(call, &[], EPERM);
            check(call, &[u64::MAX; 6], EPERM);
        }
    }

    #[test]
    fn what_a_runner_does_all_the_time_is_not() {
        for call in [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_openat,
            libc::SYS_close,
            libc::SYS_futex,
            libc::SYS_munmap,
            libc::SYS_madvise,
            libc::SYS_sched_yield,
            libc::SYS_recvfrom,
            libc::SYS_sendto,
            libc::SYS_exit_group,
        ] {
            check(call, &[], ALLOWED);
        }
    }

    #[test]
    fn without_devices_what_is_not_needed_does_not_exist() {
        // The last number is a call that no Linux kernel has.
        for call in [
            libc::SYS_memfd_create,
            libc::SYS_inotify_init1,
            libc::SYS_eventfd2,
            libc::SYS_setsockopt,
            libc::SYS_mkdirat,
            1000,
        ] {
            let verdicts = [false, true].map(|devices| verdict(devices, call, [0; 6]));
            assert_eq!(verdicts, [ENOSYS, ALLOWED], "call {call}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_permission_for_tiles_can_be_asked_for_and_nothing_else_of_that_call() {
        check(libc::SYS_arch_prctl, &[0x1023, 18], ALLOWED);
        // ARCH_SET_GS, which changes a segment register.
        let verdicts = [false, true]
            .map(|devices| verdict(devices, libc::SYS_arch_prctl, [0x1001, 0, 0, 0, 0, 0]));
        assert_eq!(verdicts, [ENOSYS, ALLOWED]);
    }

    #[test]
    fn what_is_needed_is_never_refused_as_a_whole() {
        for call in [NEEDED, NEEDED_BY_OLD_NAMES].concat() {
            let refused = [REFUSED, REFUSED_BY_OLD_NAMES, REFUSED_BY_NUMBER, SOCKETS].concat();
            assert!(!refused.contains(&call), "call {call}");
        }
    }

    #[test]
    fn threads_are_started_and_processes_are_not() {
        // The C library's flags for a thread.
        check(libc::SYS_clone, &[0x003d_0f00], ALLOWED);
        // Its flags for a process.
        check(libc::SYS_clone, &[0x0120_0011], EPERM);
        check(libc::SYS_clone, &[0x4111], EPERM);
        check(libc::SYS_clone3, &[0, 88], ENOSYS);
    }

    #[test]
    fn signals_and_limits_reach_itself_only() {
        let own = bits(OWN);
        for call in [libc::SYS_kill, libc::SYS_tgkill] {
            check(call, &[own, 9], ALLOWED);
        }
        for call in [
            libc::SYS_kill,
            libc::SYS_tgkill,
            libc::SYS_rt_tgsigqueueinfo,
        ] {
            // Another process, its own group, all processes.
            for other in [1, 0, bits(-1), u64::MAX, bits(-OWN)] {
                check(call, &[other, 9], EPERM);
            }
        }
        check(libc::SYS_prlimit64, &[0, 1], ALLOWED);
        check(libc::SYS_prlimit64, &[own, 1], ALLOWED);
        check(libc::SYS_prlimit64, &[1, 1], EPERM);
    }

    #[test]
    fn what_was_settled_at_the_start_stays() {
        check(libc::SYS_prctl, &[bits(libc::PR_SET_PDEATHSIG), 0], EPERM);
        check(libc::SYS_prctl, &[bits(libc::PR_SET_DUMPABLE), 1], EPERM);
        check(libc::SYS_prctl, &[bits(libc::PR_SET_NAME)], ALLOWED);
        // The Linux kernel ignores the upper half of the argument, so the filter must do the same.
        check(libc::SYS_prctl, &[1 << 32 | 1, 0], EPERM);
        check(libc::SYS_ioctl, &[2, libc::TIOCSTI], EPERM);
        check(libc::SYS_ioctl, &[2, libc::TCGETS], ALLOWED);
    }

    #[test]
    fn drivers_have_sockets_among_themselves_and_nobody_has_others() {
        let (inet, unix) = (bits(libc::AF_INET), bits(libc::AF_UNIX));
        let [stream, datagram, packet] =
            [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET].map(bits);
        let closed = bits(libc::SOCK_CLOEXEC);
        check(libc::SYS_socket, &[inet, stream], EPERM);
        check(libc::SYS_socket, &[bits(libc::AF_NETLINK), 3], EPERM);
        check(libc::SYS_socket, &[unix, datagram | closed], EPERM);
        let arguments = [unix, packet | closed, 0, 0, 0, 0];
        assert_eq!(verdict(true, libc::SYS_socket, arguments), ALLOWED);
        assert_eq!(verdict(false, libc::SYS_socket, arguments), EPERM);
        assert_eq!(verdict(true, libc::SYS_bind, [0; 6]), ALLOWED);
        assert_eq!(verdict(false, libc::SYS_bind, [0; 6]), EPERM);
    }

    #[test]
    fn memory_is_written_or_run_unless_drivers_need_both() {
        let protect = |call, bits_of| {
            let arguments = [0, 4096, bits(bits_of), 0, 0, 0];
            [false, true].map(|devices| verdict(devices, call, arguments))
        };
        let (write, run) = (libc::PROT_WRITE, libc::PROT_EXEC);
        let library = libc::PROT_READ | run;
        assert_eq!(protect(libc::SYS_mmap, write | run), [EPERM, ALLOWED]);
        assert_eq!(protect(libc::SYS_mmap, library), [ALLOWED; 2]);
        assert_eq!(protect(libc::SYS_mmap, write), [ALLOWED; 2]);
        assert_eq!(protect(libc::SYS_mprotect, library), [EPERM, ALLOWED]);
        assert_eq!(protect(libc::SYS_mprotect, write), [ALLOWED; 2]);
    }

    #[test]
    fn calls_by_other_numbers_and_of_other_processors_end_the_process() {
        const END: u32 = 0x8000_0000;
        if cfg!(target_arch = "x86_64") {
            check(0x4000_0000, &[], END);
            check(0x4000_0208, &[], END);
        }
        let program = &programs(&Needs::default(), OWN).unwrap()[0];
        let mut other = program.clone();
        // The first comparison is with this architecture.
        let first = other.iter_mut().find(|now| now.code == 0x15).unwrap();
        first.k ^= 1;
        assert_eq!(run(&other, libc::SYS_read, [0; 6]), END);
    }
}
