//! Every reason with its texts. A line of documentation is the meaning; below it stand who finds it, what the node is,
//! how it is told from its neighbours, and the way out where nothing is known of the machine.

use super::Source;
use crate::State;

macro_rules! reasons {
    ($(
        #[doc = $meaning:literal]
        $name:ident [$source:ident: $($state:ident),+] told $told:literal out $out:literal
    )+) => {
        /// Why a node is ready, is not, or is not known to be.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code that stands in objects, events and metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What it means.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning.trim(),)+
                }
            }

            /// Who finds it.
            #[must_use]
            pub const fn source(self) -> Source {
                match self {
                    $(Self::$name => Source::$source,)+
                }
            }

            /// What the node is: two states where it depends on whether it could be tried.
            #[must_use]
            pub const fn states(self) -> &'static [State] {
                match self {
                    $(Self::$name => &[$(State::$state),+],)+
                }
            }

            /// How it is told from the reasons that look like it.
            #[must_use]
            pub const fn distinguish(self) -> &'static str {
                match self {
                    $(Self::$name => $told,)+
                }
            }

            /// The way out, where nothing is known of the machine.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $out,)+
                }
            }
        }
    };
}

reasons! {
    /// The canary was loaded, attached, fired, and denied our call and only ours.
    CanaryDenied [Probe: Ready]
    told "Each of four calls was answered as a denial takes it and the program's counter moved; no text, such as the \
        list of active LSMs, can add to that or take from it."
    out "Nothing has to be changed."

    /// The canary loads and attaches but never runs: `bpf` is not among the active LSMs.
    BpfNotInLsmList [Probe: NotReady]
    told "The list of active LSMs could be read and lacks `bpf`; where it could not be read it is `NeverFired`, and \
        where it has `bpf` it is `ListedButNotFired`."
    out "Add bpf to the end of the lsm= boot parameter, keeping the other names in their order, and reboot. Without \
        lsm= on the command line, write out CONFIG_LSM of the kernel's configuration or, where that cannot be read, the \
        list that /sys/kernel/security/lsm shows, with integrity and bpf added."

    /// The canary loads and attaches but never runs; the list of active LSMs cannot be read.
    NeverFired [Probe: NotReady]
    told "As `BpfNotInLsmList`, which is most likely, but neither `lsm_list_modules(2)` nor securityfs gave a list."
    out "Read the list on the host (mount -t securityfs none /sys/kernel/security, then cat \
        /sys/kernel/security/lsm), boot with that list and integrity and bpf added as lsm=, and let the probe see \
        securityfs."

    /// The kernel lists `bpf` as active and the canary attaches, yet it never runs.
    ListedButNotFired [Probe: NotReady]
    told "The list has `bpf`, so it is not `BpfNotInLsmList`; the program was taken, so it is not `ListedButRefused`."
    out "This is not expected of any known kernel. Boot another kernel of this distribution, and report this one with \
        the output of `node-probe check --output json`."

    /// The kernel lists `bpf` as active, yet refuses LSM programs to a process that holds the capabilities.
    ListedButRefused [Probe: NotReady]
    told "The refusal is EPERM or EACCES without a word of the verifier's, the capabilities are held in the host's \
        user namespace, no seccomp filter answers, and memory that may be locked is not what is short. Kernel lockdown \
        is not the cause either: it refuses helpers that read kernel memory, never LSM programs as such."
    out "No boot parameter will help: a policy of this platform refuses LSM programs. On a managed or sandboxed \
        machine it cannot be changed from inside: use nodes of another kind. Otherwise look for what answers bpf(2): an \
        SELinux policy (ausearch -m avc), or an LSM program on the hooks bpf or bpf_prog_load."

    /// The kernel refuses LSM programs to a process that holds the capabilities, and does not list `bpf` as active.
    LsmProgramsRefused [Probe: NotReady]
    told "As `ListedButRefused`, but the list of active LSMs lacks `bpf` or cannot be read. A list without `bpf` alone \
        would still let the program load."
    out "No boot parameter will help: a policy of this platform refuses LSM programs. On a managed or sandboxed \
        machine it cannot be changed from inside: use nodes of another kind. Otherwise look for what answers bpf(2): an \
        SELinux policy (ausearch -m avc)."

    /// The kernel offers no BTF at /sys/kernel/btf/vmlinux, which LSM programs need.
    BtfMissing [Probe: NotReady, Unknown]
    told "The file does not exist though sysfs is there. Where there is no sysfs, or the file may not be read, nothing \
        is known of the kernel and the node is unknown."
    out "Boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (check: /sys/kernel/btf/vmlinux exists). In a container, \
        /sys has to be mounted, as it is by default."

    /// The kernel's BTF has no bpf_lsm_ functions: it was built without CONFIG_BPF_LSM.
    HookNotInBtf [Probe: NotReady]
    told "BTF is there and was read, so it is not `BtfMissing`; the canary's own hook, which every kernel with \
        CONFIG_BPF_LSM has, is not in it. A hook that only a policy asks for is `HookNotInKernel`."
    out "Boot a kernel of at least Linux 5.7 built with CONFIG_BPF_LSM=y and CONFIG_DEBUG_INFO_BTF=y (check: grep \
        CONFIG_BPF_LSM /boot/config-$(uname -r)). No boot parameter can add it."

    /// The kernel does not know BPF programs of type LSM.
    ProgramTypeUnsupported [Probe: NotReady]
    told "The kernel answers EINVAL without a word of the verifier's, or has no bpf(2) at all, where a refusal by \
        policy is EPERM or EACCES."
    out "Boot a kernel of at least Linux 5.7 built with CONFIG_BPF_LSM=y and CONFIG_DEBUG_INFO_BTF=y (check: grep \
        CONFIG_BPF_LSM /boot/config-$(uname -r)). No boot parameter can add it."

    /// The program loads but the kernel has no BPF trampolines to attach it with.
    TrampolineUnsupported [Probe: NotReady]
    told "Loading passed and attaching ended with ENOTSUPP, which is how arm64 before Linux 6.4 answers, and kernels \
        without CONFIG_BPF_JIT or CONFIG_DYNAMIC_FTRACE; other errors are `AttachFailed`."
    out "Boot a kernel with BPF trampolines for this architecture: on arm64 at least Linux 6.4, on x86_64 any built \
        with CONFIG_BPF_JIT=y and CONFIG_DYNAMIC_FTRACE=y."

    /// The canary ran but the call was not denied as it should have been.
    FiredNotDenied [Probe: NotReady]
    told "The counter moved, so it is none of the reasons why a program never runs; one of the calls had the wrong \
        answer, and the message says which."
    out "The raw error says which call was answered wrongly. Look for another LSM or a seccomp filter that answers \
        prctl(2); otherwise report it with the output of `node-probe check --output json`."

    /// The kernel did not take the canary, for another reason than the ones above.
    LoadFailed [Probe: NotReady, Unknown]
    told "The errno, or what the verifier said, fits none of the reasons that have a code. With EAGAIN, which says \
        that it may work next time, the node is unknown."
    out "The raw error says what the kernel objects to. Report it with the output of `node-probe check --output json`."

    /// The canary could not be attached, for another reason than the ones above.
    AttachFailed [Probe: NotReady]
    told "Loading passed, and the errno is neither that of missing trampolines (`TrampolineUnsupported`) nor one of a \
        shortage."
    out "The raw error says what the kernel objects to: E2BIG is too many programs on one hook, EBUSY another tracer on \
        the same function. Report anything else with the output of `node-probe check --output json`."

    /// The probe lacks CAP_BPF or CAP_PERFMON, so nothing could be tried.
    MissingCapability [Probe: Unknown]
    told "The refusal is EPERM, and the process's effective capabilities lack one, or it is in a user namespace of its \
        own, where they do not count; with both held it is `ListedButRefused` or `LsmProgramsRefused`."
    out "Run it as root on the host, or give the container the capabilities BPF and PERFMON \
        (securityContext.capabilities.add: [BPF, PERFMON]) in the host's user namespace (hostUsers: true). Before Linux \
        5.8 it takes SYS_ADMIN."

    /// A seccomp filter refuses bpf(2) to the probe, so nothing could be tried.
    SeccompRefusesBpf [Probe: Unknown]
    told "A filter is in force and even a bpf(2) command that does not exist, which the kernel answers with EINVAL, has \
        another answer, or the filter killed the canary (SIGSYS). Where that call reaches the kernel the filter is not \
        to blame."
    out "Use a seccomp profile that allows bpf(2): RuntimeDefault does for a container with the capability BPF; under \
        systemd, take bpf off SystemCallFilter=."

    /// The kernel refuses to this process even the maps that every BPF program needs, so nothing could be tried.
    BpfRefused [Probe: Unknown]
    told "BPF_MAP_CREATE ended with EPERM or EACCES though the capabilities are held, no seccomp filter answers and memory \
        may be locked; where maps are taken and LSM programs are not it is `ListedButRefused` or `LsmProgramsRefused`."
    out "Look for what confines this process: an SELinux domain without bpf, such as container_t (ausearch -m avc; the \
        probe's DaemonSet runs as spc_t), or a sandbox that offers no BPF. Run the probe outside of it."

    /// Something answers the canary's prctl before anything is loaded, so nothing could be tried.
    CallIntercepted [Probe: Unknown]
    told "The call was made before anything was attached, and the answer was not the kernel's EINVAL, so no answer \
        after that would prove anything."
    out "Find what answers prctl(2) to this process, most likely a seccomp filter on prctl's first argument, and let \
        unknown options through to the kernel (RuntimeDefault does)."

    /// The memory that the probe may lock is too little for BPF on a kernel before Linux 5.11.
    MemlockTooLow [Probe: Unknown]
    told "The kernel is older than 5.11, which charges BPF's memory to RLIMIT_MEMLOCK and answers EPERM when it is used \
        up; the limit is finite and the process cannot raise it (no CAP_SYS_RESOURCE). On newer kernels, or without a \
        limit, the same EPERM is a refusal by policy."
    out "Raise the limit: LimitMEMLOCK=infinity in the unit of the container runtime (or of this program), ulimit -l \
        unlimited in a shell; or give the container the capability SYS_RESOURCE. Or boot Linux 5.11 or newer."

    /// The canary's process or the kernel had not enough memory, so nothing could be tried.
    NoMemory [Probe: Unknown]
    told "A step ended with ENOMEM; where memory ran out so far that the process was killed it is `CanaryCrashed`."
    out "Look at the kernel's log (dmesg) and at the memory limit of this process: the canary takes 40 MB for a moment."

    /// The kernel or a filesystem had no room left (ENOSPC), so nothing could be tried.
    NoSpace [Probe: Unknown]
    told "A step ended with ENOSPC, which says that a table is full and nothing about LSM programs; short memory is \
        `NoMemory`."
    out "Look for programs and maps that somebody has leaked (bpftool prog list, bpftool map list, a full /sys/fs/bpf), \
        end their owners, and try again."

    /// No file descriptor was left for the canary (EMFILE or ENFILE), so nothing could be tried.
    TooManyFiles [Probe: Unknown]
    told "A step ended with EMFILE, the limit of the process, or ENFILE, that of the machine; the message says which."
    out "Raise the limit on open files of this process (ulimit -n, LimitNOFILE= of its unit) for EMFILE, and look for \
        who holds so many (/proc/sys/fs/file-nr against fs.file-max) for ENFILE."

    /// The canary did not end within its deadline and was killed.
    CanaryTimedOut [Probe: Unknown]
    told "The process was still there at the deadline; where it had ended by itself it is `CanaryCrashed`."
    out "Try again on a slow machine with a longer --deadline. Where it hangs each time, look at the kernel's log (dmesg)."

    /// The process of the canary crashed.
    CanaryCrashed [Probe: Unknown]
    told "A signal other than the deadline's ended it, or it ended by itself before its last step; the rungs up to \
        there count."
    out "Look at the kernel's log (dmesg) and at the memory limit of this process (the canary takes 40 MB for a \
        moment), then try again."

    /// The process of the canary could not be started, so nothing could be tried.
    CanaryNotStarted [Probe: Unknown]
    told "The error came from starting the process, before its first step."
    out "Look at the limits on processes and memory of this process (pids.max, ulimit -u), and that /proc is mounted, \
        then try again."

    /// There is no report from this node's probe yet.
    NoReport [Policy: Unknown]
    told "There is no LsmNode of the node's name, or it has no status; an old one is `ReportFromEarlierBoot`."
    out "Look whether the probe's pod runs on the node (kubectl get pods -A -o wide -l app.kubernetes.io/component=probe), \
        and at its log."

    /// The newest report is about an earlier boot of the node.
    ReportFromEarlierBoot [Policy: Unknown]
    told "The boot ID of the report differs from the Node's own, so nothing in it counts any more."
    out "Wait for the probe's pod on the node to start: it reports at once. If it does not, look at its log."

    /// The evidence is below what the policy requires.
    EvidenceTooLow [Policy: NotReady]
    told "The report does not say why; mostly it does, and then its own reason stands here."
    out "Read the checks of the LsmNode: they say where the canary ended."

    /// A further LSM that the policy requires is not active.
    RequiredLsmInactive [Policy: NotReady]
    told "The list of active LSMs could be read and lacks the name; where it could not be read it is `LsmListUnknown`."
    out "Add the LSM to the lsm= boot parameter, keeping the other names in their order, and reboot. If it is missing \
        again afterwards, the kernel was built without it, or another exclusive LSM came first (selinux, apparmor and \
        smack exclude each other on most kernels)."

    /// The list of active LSMs could not be read, so a required one cannot be judged.
    LsmListUnknown [Policy: Unknown]
    told "Neither `lsm_list_modules(2)` nor /sys/kernel/security/lsm gave a list, so nothing is known to be missing."
    out "Mount securityfs on the host (mount -t securityfs none /sys/kernel/security), and give the probe \
        /sys/kernel/security as a read-only directory. A kernel built without CONFIG_SECURITYFS has none to mount, and \
        gives the list from Linux 6.8 on. The verdict on LSM BPF does not need it."

    /// A hook that the policy requires does not exist in this kernel.
    HookNotInKernel [Policy: NotReady]
    told "The node's hook profile has it neither among the hooks that take a program nor among those that refuse one: it \
        is misspelt, or newer or older than this kernel."
    out "Compare the name with the kernel's (bpftool btf dump file /sys/kernel/btf/vmlinux | grep bpf_lsm_), use a \
        hook that this kernel has, or boot a kernel that has this one."

    /// A hook that the policy requires exists but accepts no program on this kernel.
    HookNotAttachable [Policy: NotReady]
    told "The hook is in the kernel's BTF and the trial load on it was refused; a hook that is not there is \
        `HookNotInKernel`."
    out "Use another hook, or a kernel that takes programs on this one."

    /// A hook that the policy requires to be sleepable does not accept a sleepable program on this kernel.
    HookNotSleepable [Policy: NotReady]
    told "The hook takes a program, but not a sleepable one; one that takes none is `HookNotAttachable`."
    out "Use another hook, a program that need not sleep, or a kernel that takes sleepable programs on this one."

    /// The node has no (genuine) hook profile, so required hooks cannot be judged.
    HookProfileMissing [Policy: Unknown]
    told "The LsmNode names no profile, or the one it names does not exist or does not have the content that its name \
        is the digest of."
    out "Read the log of the probe on that node. A profile whose content does not fit its name was not written by a \
        probe: docs/threat-model.md says what follows."

    /// Programs may not read kernel memory on this node (lockdown=confidentiality).
    KernelReadsForbidden [Policy: NotReady]
    told "A program that calls bpf_probe_read_kernel was tried and refused, or was not tried and lockdown=confidentiality \
        is in force. The canary reads nothing, and may well have been denied."
    out "Boot without lockdown=confidentiality; lockdown=integrity is enough for most."

    /// Whether programs may read kernel memory on this node is not known.
    KernelReadsUnknown [Policy: Unknown]
    told "The trial did not get as far as that, or failed for a reason that says nothing about it."
    out "Read the check KernelReads of the LsmNode, and see to the node's own reason first."

    /// What the selected TracingPolicies ask of a node is not known, so it cannot be said to be ready for them.
    TracingPoliciesUnknown [Policy: Unknown]
    told "Everything else that the policy requires was shown in this boot; what was shown to be missing has its own \
        reason. A cluster without the TracingPolicy CRDs has no such policies, which is known and asks for nothing."
    out "Read the condition TracingPoliciesLoadable of the LsmPolicy: it names the rule that the operator lacks, the \
        error of the API server, or the TracingPolicy that cannot be read and the field in it."

    /// Only recorded texts were looked at, and nothing in them says that it cannot work.
    NotTried [Texts: Unknown]
    told "Texts that do say that it cannot work give the reason that they point at; a trial gives one of the others."
    out "Run `node-probe check` on the machine itself: only trying shows whether it can deny."
}
