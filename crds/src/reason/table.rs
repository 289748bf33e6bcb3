//! Every reason with its texts. The line of documentation is the meaning. Below it are who finds
//! the reason, the node's state, how to tell the reason apart from similar ones, and what to do
//! when nothing is known about the machine.

use super::Source;
use crate::State;

macro_rules! reasons {
    ($(
        $(#[doc = $meaning:literal])+
        $name:ident [$source:ident: $($state:ident),+]
        distinguish $distinguish:literal
        remedy $remedy:literal
    )+) => {
        /// Why a node is ready, not ready, or unknown.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code in objects, events and metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What the reason means, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    // Each line of documentation starts with a space.
                    $(Self::$name => concat!($($meaning),+).trim(),)+
                }
            }

            /// Which part of lsm-ready finds the reason.
            #[must_use]
            pub const fn source(self) -> Source {
                match self {
                    $(Self::$name => Source::$source,)+
                }
            }

            /// The node's state. Two states where it depends on whether the trial could be made.
            #[must_use]
            pub const fn states(self) -> &'static [State] {
                match self {
                    $(Self::$name => &[$(State::$state),+],)+
                }
            }

            /// How to tell the reason apart from similar ones.
            #[must_use]
            pub const fn distinguish(self) -> &'static str {
                match self {
                    $(Self::$name => $distinguish,)+
                }
            }

            /// What to do, when nothing is known about the machine.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)+
                }
            }
        }
    };
}

reasons! {
    /// The canary program was loaded and attached, it ran, and it denied our test call and no other
    /// call.
    CanaryDenied [Probe: Ready]
    distinguish "Each of four test calls got the expected answer, and the program counted its \
        runs. Texts such as the list of active LSMs cannot change this result."
    remedy "Nothing has to be changed."

    /// The canary program loads and attaches but never runs: `bpf` is not among the active LSMs.
    BpfNotInLsmList [Probe: NotReady]
    distinguish "The list of active LSMs could be read, and `bpf` is not in it. If the list could \
        not be read, the reason is `NeverFired`. If the list has `bpf`, the reason is \
        `ListedButNotFired`."
    remedy "Add bpf to the end of the lsm= boot parameter, keep the other names in their order, \
        and reboot. If the command line has no lsm=, write out the whole list: take CONFIG_LSM of \
        the kernel's configuration, or else the list in /sys/kernel/security/lsm, and add \
        integrity and bpf."

    /// The canary program loads and attaches but never runs, and the list of active LSMs cannot be
    /// read.
    NeverFired [Probe: NotReady]
    distinguish "Neither `lsm_list_modules(2)` nor securityfs gave the list of active LSMs. Most \
        likely `bpf` is missing in it, as with `BpfNotInLsmList`."
    remedy "Read the list on the host: mount -t securityfs none /sys/kernel/security, then cat \
        /sys/kernel/security/lsm. Boot with lsm= set to that list with integrity and bpf added. \
        Also give the probe access to securityfs."

    /// The kernel lists `bpf` as active and the canary program attaches, but it never runs.
    ListedButNotFired [Probe: NotReady]
    distinguish "The list has `bpf`, so the reason is not `BpfNotInLsmList`. The program could be \
        loaded, so the reason is not `ListedButRefused`."
    remedy "No known kernel behaves like this. Boot another kernel of this distribution, and \
        report this one with the output of `node-probe check --output json`."

    /// The kernel lists `bpf` as active but refuses LSM programs, although the probe has the
    /// capabilities.
    ListedButRefused [Probe: NotReady]
    distinguish "The error is EPERM or EACCES and the verifier printed nothing. The probe has the \
        capabilities in the host's user namespace, no seccomp filter refuses the call, and the \
        limit on locked memory is not exceeded. Kernel lockdown is not the cause: it refuses \
        helpers that read kernel memory, but never LSM programs as such."
    remedy "No boot parameter will help: a policy of this platform refuses LSM programs. On a \
        managed or sandboxed machine it cannot be changed from inside: use nodes of another kind. \
        Otherwise look for what refuses bpf(2): an SELinux policy (ausearch -m avc), or an LSM \
        program on the hooks bpf or bpf_prog_load."

    /// The kernel refuses LSM programs, although the probe has the capabilities, and does not list
    /// `bpf` as active.
    LsmProgramsRefused [Probe: NotReady]
    distinguish "The error is that of `ListedButRefused`, but `bpf` is not in the list of active \
        LSMs, or the list cannot be read. A missing `bpf` alone does not keep the program from \
        loading."
    remedy "No boot parameter will help: a policy of this platform refuses LSM programs. On a \
        managed or sandboxed machine it cannot be changed from inside: use nodes of another kind. \
        Otherwise look for what refuses bpf(2): an SELinux policy (ausearch -m avc)."

    /// The kernel has no BTF at /sys/kernel/btf/vmlinux, which LSM programs need.
    BtfMissing [Probe: NotReady, Unknown]
    distinguish "The file does not exist although sysfs is mounted. If sysfs is not mounted or the \
        file cannot be read, nothing is known about the kernel, and the node is unknown."
    remedy "Boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (check: /sys/kernel/btf/vmlinux \
        exists). A container needs /sys mounted, which is the default."

    /// The kernel's BTF has no bpf_lsm_ functions: the kernel was built without CONFIG_BPF_LSM.
    HookNotInBtf [Probe: NotReady]
    distinguish "BTF exists and could be read, so the reason is not `BtfMissing`. The canary's own \
        hook is missing, which every kernel with CONFIG_BPF_LSM has. If another required hook is \
        missing, the reason is `HookNotInKernel`."
    remedy "Boot a kernel of at least Linux 5.7 built with CONFIG_BPF_LSM=y and \
        CONFIG_DEBUG_INFO_BTF=y (check: grep CONFIG_BPF_LSM /boot/config-$(uname -r)). No boot \
        parameter can add it."

    /// The kernel does not know BPF programs of type LSM.
    ProgramTypeUnsupported [Probe: NotReady]
    distinguish "The kernel answers EINVAL and the verifier printed nothing, or the kernel has no \
        bpf(2) at all. A refusal by a policy is EPERM or EACCES."
    remedy "Boot a kernel of at least Linux 5.7 built with CONFIG_BPF_LSM=y and \
        CONFIG_DEBUG_INFO_BTF=y (check: grep CONFIG_BPF_LSM /boot/config-$(uname -r)). No boot \
        parameter can add it."

    /// The program loads, but the kernel has no BPF trampolines to attach it with.
    TrampolineUnsupported [Probe: NotReady]
    distinguish "Loading succeeded, and attaching failed with ENOTSUPP. This happens on arm64 \
        before Linux 6.4, and on kernels without CONFIG_BPF_JIT or CONFIG_DYNAMIC_FTRACE. Other \
        errors give `AttachFailed`."
    remedy "Boot a kernel that has BPF trampolines for this architecture: on arm64 at least Linux \
        6.4, on x86_64 any kernel built with CONFIG_BPF_JIT=y and CONFIG_DYNAMIC_FTRACE=y."

    /// The canary program ran, but a test call was not answered as expected.
    FiredNotDenied [Probe: NotReady]
    distinguish "The program counted its runs, so no reason applies that says why a program never \
        runs. One of the test calls had the wrong answer, and the message says which."
    remedy "The message says which call had the wrong answer. Look for another LSM or a seccomp \
        filter that answers prctl(2). Otherwise report it with the output of `node-probe check \
        --output json`."

    /// The kernel did not load the canary program, for a reason other than those above.
    LoadFailed [Probe: NotReady, Unknown]
    distinguish "No other reason fits the error or what the verifier printed. With EAGAIN, which \
        means that another try may succeed, the node is unknown."
    remedy "The message has the kernel's error. Report it with the output of `node-probe check \
        --output json`."

    /// The canary program could not be attached, for a reason other than those above.
    AttachFailed [Probe: NotReady]
    distinguish "Loading succeeded. The error is not the one of missing trampolines \
        (`TrampolineUnsupported`), and not one of a shortage."
    remedy "The message has the kernel's error. E2BIG means too many programs on one hook; EBUSY \
        means that another tracer uses the same function. Report any other error with the output \
        of `node-probe check --output json`."

    /// The probe lacks CAP_BPF or CAP_PERFMON, so nothing could be tried.
    MissingCapability [Probe: Unknown]
    distinguish "The error is EPERM, and the process lacks one of the two capabilities, or runs in \
        its own user namespace, where they do not count. If it has both, the reason is \
        `ListedButRefused` or `LsmProgramsRefused`."
    remedy "Run the probe as root on the host, or give the container the capabilities BPF and \
        PERFMON (securityContext.capabilities.add: [BPF, PERFMON]) in the host's user namespace \
        (hostUsers: true). Before Linux 5.8 the capability SYS_ADMIN is needed instead."

    /// A seccomp filter refuses bpf(2) to the probe, so nothing could be tried.
    SeccompRefusesBpf [Probe: Unknown]
    distinguish "A seccomp filter is in force. A bpf(2) command that does not exist got another \
        answer than the kernel's EINVAL, or the filter killed the canary process (SIGSYS). If that \
        call reaches the kernel, the filter is not the cause."
    remedy "Use a seccomp profile that allows bpf(2). RuntimeDefault does for a container with the \
        capability BPF. Under systemd, remove bpf from SystemCallFilter=."

    /// The kernel refuses the maps that every BPF program needs, so nothing could be tried.
    BpfRefused [Probe: Unknown]
    distinguish "BPF_MAP_CREATE failed with EPERM or EACCES, although the probe has the \
        capabilities, no seccomp filter refuses the call, and the limit on locked memory is not \
        exceeded. If maps can be created and only LSM programs are refused, the reason is \
        `ListedButRefused` or `LsmProgramsRefused`."
    remedy "Look for what confines this process: an SELinux domain without bpf, such as \
        container_t (ausearch -m avc; the probe's DaemonSet runs as spc_t), or a sandbox without \
        BPF. Run the probe outside of it."

    /// Something else answers the canary's prctl call before a program is loaded, so nothing could
    /// be tried.
    CallIntercepted [Probe: Unknown]
    distinguish "The probe made the call before it attached anything, and did not get the kernel's \
        EINVAL. Later answers would prove nothing."
    remedy "Find what answers prctl(2) for this process. Most likely it is a seccomp filter on \
        prctl's first argument. Let unknown options through to the kernel; RuntimeDefault does."

    /// The limit on locked memory is too low for BPF on a kernel before Linux 5.11.
    MemlockTooLow [Probe: Unknown]
    distinguish "Kernels before 5.11 charge BPF's memory to RLIMIT_MEMLOCK and answer EPERM when \
        it is used up. The limit is finite, and the process cannot raise it (no CAP_SYS_RESOURCE). \
        On newer kernels, or without a limit, the same EPERM is a refusal by a policy."
    remedy "Raise the limit: LimitMEMLOCK=infinity in the systemd unit of the container runtime \
        (or of this program), or ulimit -l unlimited in a shell. Or give the container the \
        capability SYS_RESOURCE. Or boot Linux 5.11 or newer."

    /// The canary process or the kernel ran out of memory, so nothing could be tried.
    NoMemory [Probe: Unknown]
    distinguish "A step failed with ENOMEM. If the process was killed because memory ran out, the \
        reason is `CanaryCrashed`."
    remedy "Look at the kernel's log (dmesg) and at the memory limit of this process. The canary \
        needs 40 MB for a moment."

    /// The kernel or a filesystem had no space left (ENOSPC), so nothing could be tried.
    NoSpace [Probe: Unknown]
    distinguish "A step failed with ENOSPC: a table is full, which says nothing about LSM \
        programs. Too little memory gives `NoMemory`."
    remedy "Look for leaked programs and maps (bpftool prog list, bpftool map list, a full \
        /sys/fs/bpf), end the processes that own them, and try again."

    /// No file descriptor was left for the canary (EMFILE or ENFILE), so nothing could be tried.
    TooManyFiles [Probe: Unknown]
    distinguish "A step failed with EMFILE, the limit of the process, or with ENFILE, the limit of \
        the machine. The message says which."
    remedy "For EMFILE, raise the limit on open files of this process (ulimit -n, or LimitNOFILE= \
        of its unit). For ENFILE, look for the process that holds so many files (compare \
        /proc/sys/fs/file-nr with fs.file-max)."

    /// The canary process did not end before its deadline and was killed.
    CanaryTimedOut [Probe: Unknown]
    distinguish "The process still ran at the deadline. If it ended by itself, the reason is \
        `CanaryCrashed`."
    remedy "On a slow machine, try again with a longer --deadline. If it hangs each time, look at \
        the kernel's log (dmesg)."

    /// The canary process crashed.
    CanaryCrashed [Probe: Unknown]
    distinguish "A signal ended the process before the deadline, or it ended by itself before its \
        last step. The rungs that it reached count."
    remedy "Look at the kernel's log (dmesg) and at the memory limit of this process (the canary \
        needs 40 MB for a moment), then try again."

    /// The canary process could not be started, so nothing could be tried.
    CanaryNotStarted [Probe: Unknown]
    distinguish "Starting the process failed, before its first step."
    remedy "Look at the limits on processes and memory of this process (pids.max, ulimit -u), \
        check that /proc is mounted, then try again."

    /// The probe on this node has not reported yet.
    NoReport [Policy: Unknown]
    distinguish "No LsmNode has the node's name, or it has no status. An old report gives \
        `ReportFromEarlierBoot`."
    remedy "Check that the probe's pod runs on the node (kubectl get pods -A -o wide -l \
        app.kubernetes.io/component=probe), and read its log."

    /// The latest report is about an earlier boot of the node.
    ReportFromEarlierBoot [Policy: Unknown]
    distinguish "The report's boot ID differs from the Node's own, so the report does not count \
        any more."
    remedy "Wait for the probe's pod on the node to start: it reports at once. If it does not, \
        read its log."

    /// The report contradicts itself, so it proves nothing: its evidence, its reason and its checks
    /// do not agree.
    EvidenceInconsistent [Policy: Unknown]
    distinguish "The report is about this boot. The message says what does not agree. A report of \
        a probe version that is not understood gives `ProbeVersionUnknown`."
    remedy "Our probe writes no such report. Find out who wrote it: read the managedFields of the \
        node's LsmNode and the audit log of the API server, and see docs/threat-model.md. To get a \
        new report, delete the probe's pod on the node."

    /// The report is of a version of the probe that this version of lsm-ready does not understand.
    ProbeVersionUnknown [Policy: Unknown]
    distinguish "The evidence would be enough. The report's probeVersion has another major \
        version, or its minor version differs by more than one, or it is not a semantic version."
    remedy "Run the operator, the probe and the kubectl plugin in versions that differ by at most \
        one minor version. Upgrade and downgrade one minor version at a time."

    /// The evidence is below what the policy requires.
    EvidenceTooLow [Policy: NotReady]
    distinguish "The report does not say why. A report that says why gives its own reason instead."
    remedy "Read the checks of the LsmNode: they show where the canary stopped."

    /// An LSM that the policy requires besides bpf is not active.
    RequiredLsmInactive [Policy: NotReady]
    distinguish "The list of active LSMs could be read, and the name is not in it. If the list \
        could not be read, the reason is `LsmListUnknown`."
    remedy "Add the LSM to the lsm= boot parameter, keep the other names in their order, and \
        reboot. If it is still missing, either the kernel was built without it, or another \
        exclusive LSM came first (selinux, apparmor and smack exclude each other on most kernels)."

    /// The list of active LSMs could not be read, so a required LSM cannot be judged.
    LsmListUnknown [Policy: Unknown]
    distinguish "Neither `lsm_list_modules(2)` nor /sys/kernel/security/lsm gave the list, so it \
        is not known whether the LSM is missing."
    remedy "Mount securityfs on the host (mount -t securityfs none /sys/kernel/security), and give \
        the probe /sys/kernel/security as a read-only directory. A kernel built without \
        CONFIG_SECURITYFS has no securityfs; there the list can be read from Linux 6.8 on. The \
        verdict on LSM BPF does not need the list."

    /// A hook that the policy requires does not exist in this kernel.
    HookNotInKernel [Policy: NotReady]
    distinguish "The node's hook profile lists the hook neither as usable nor as refused. The name \
        is misspelt, or the hook exists only in newer or older kernels."
    remedy "Compare the name with the kernel's hooks (bpftool btf dump file \
        /sys/kernel/btf/vmlinux | grep bpf_lsm_). Use a hook that this kernel has, or boot a \
        kernel that has this hook."

    /// A hook that the policy requires exists, but accepts no program on this kernel.
    HookNotAttachable [Policy: NotReady]
    distinguish "The hook is in the kernel's BTF, but the trial load on it was refused. A hook \
        that does not exist gives `HookNotInKernel`."
    remedy "Use another hook, or a kernel that accepts programs on this hook."

    /// A hook that the policy requires to be sleepable does not accept a sleepable program on this
    /// kernel.
    HookNotSleepable [Policy: NotReady]
    distinguish "The hook accepts a program, but not a sleepable one. A hook that accepts no \
        program gives `HookNotAttachable`."
    remedy "Use another hook, a program that need not sleep, or a kernel that accepts sleepable \
        programs on this hook."

    /// The node has no genuine hook profile, so required hooks cannot be judged.
    HookProfileMissing [Policy: Unknown]
    distinguish "The LsmNode names no profile, or the profile does not exist, or the profile's \
        name is not the digest of its content."
    remedy "Read the log of the probe on that node. If a profile's content does not match its \
        name, it was not written by a probe: see docs/threat-model.md."

    /// Programs may not read kernel memory on this node (lockdown=confidentiality).
    KernelReadsForbidden [Policy: NotReady]
    distinguish "A program that calls bpf_probe_read_kernel was refused, or it could not be tried \
        and lockdown=confidentiality is in force. The canary reads no kernel memory, so the node \
        can still reach Denied."
    remedy "Boot without lockdown=confidentiality; lockdown=integrity is enough for most."

    /// It is not known whether programs may read kernel memory on this node.
    KernelReadsUnknown [Policy: Unknown]
    distinguish "The trial ended before this step, or failed for a reason that says nothing about \
        it."
    remedy "Fix the node's own reason first, then read the check KernelReads of the LsmNode."

    /// It is not known what the selected TracingPolicies require of a node, so the node cannot be
    /// ready for them.
    TracingPoliciesUnknown [Policy: Unknown]
    distinguish "Everything else that the policy requires was shown in this boot; otherwise \
        another reason is reported. If the cluster has no TracingPolicy CRDs, it has no such \
        policies, and nothing is required."
    remedy "Read the condition TracingPoliciesLoadable of the LsmPolicy. It names the RBAC rule \
        that the operator lacks, the API server's error, or the invalid TracingPolicy and its \
        field."

    /// Only recorded texts were read, and none of them shows that LSM BPF cannot work.
    NotTried [Texts: Unknown]
    distinguish "Texts that show a cause give that cause as the reason. A trial on the machine \
        gives one of the other reasons."
    remedy "Run `node-probe check` on the machine itself. Only a trial shows whether the machine \
        can deny."
}
