//! Names that the agent accepts as values, and how long values may be.

use crate::tracing_policy::diagnostic::quoted;

/// Maximum length of a value of `Prefix`, in bytes.
pub const MAX_PREFIX_LEN: usize = 256;
/// Maximum length of a value of `Postfix`, in bytes.
pub const MAX_POSTFIX_LEN: usize = 127;

/// The hooks on which the agent can compute a file's hash (`imaProgName` in genericlsm.go, the same
/// in all known releases).
pub const IMA_HOOKS: [&str; 11] = [
    "bprm_check_security",
    "bprm_committed_creds",
    "bprm_committing_creds",
    "bprm_creds_for_exec",
    "bprm_creds_from_file",
    "file_ioctl",
    "file_lock",
    "file_open",
    "file_post_open",
    "file_receive",
    "mmap_file",
];

/// Capabilities, as `CapabilitiesType` of Tetragon's API names them. The second name has no `CAP_`.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Kinds of namespaces, in lower case.
pub const NAMESPACES: [&str; 10] = [
    "uts",
    "ipc",
    "mnt",
    "pid",
    "pidforchildren",
    "net",
    "time",
    "timeforchildren",
    "cgroup",
    "user",
];

/// Types of files.
pub const FILE_TYPES: [&str; 13] = [
    "sock", "socket", "lnk", "link", "reg", "regular", "blk", "block", "dir", "chr", "char",
    "fifo", "pipe",
];

/// Protocols.
pub const PROTOCOLS: &[&str] = &[
    "IPPROTO_IP",
    "IPPROTO_ICMP",
    "IPPROTO_IGMP",
    "IPPROTO_IPIP",
    "IPPROTO_TCP",
    "IPPROTO_EGP",
    "IPPROTO_PUP",
    "IPPROTO_UDP",
    "IPPROTO_IDP",
    "IPPROTO_TP",
    "IPPROTO_DCCP",
    "IPPROTO_IPV6",
    "IPPROTO_RSVP",
    "IPPROTO_GRE",
    "IPPROTO_ESP",
    "IPPROTO_AH",
    "IPPROTO_MTP",
    "IPPROTO_BEETPH",
    "IPPROTO_ENCAP",
    "IPPROTO_PIM",
    "IPPROTO_COMP",
    "IPPROTO_SCTP",
    "IPPROTO_UDPLITE",
    "IPPROTO_MPLS",
    "IPPROTO_ETHERNET",
    "IPPROTO_RAW",
    "IPPROTO_MPTCP",
];

/// Address families.
pub const FAMILIES: &[&str] = &[
    "AF_UNSPEC",
    "AF_UNIX",
    "AF_INET",
    "AF_AX25",
    "AF_IPX",
    "AF_APPLETALK",
    "AF_NETROM",
    "AF_BRIDGE",
    "AF_ATMPVC",
    "AF_X25",
    "AF_INET6",
    "AF_ROSE",
    "AF_DECnet",
    "AF_NETBEUI",
    "AF_SECURITY",
    "AF_KEY",
    "AF_NETLINK",
    "AF_PACKET",
    "AF_ASH",
    "AF_ECONET",
    "AF_ATMSVC",
    "AF_RDS",
    "AF_IRDA",
    "AF_PPPOX",
    "AF_WANPIPE",
    "AF_LLC",
    "AF_IB",
    "AF_MPLS",
    "AF_CAN",
    "AF_TIPC",
    "AF_BLUETOOTH",
    "AF_IUCV",
    "AF_RXRPC",
    "AF_ISDN",
    "AF_PHONET",
    "AF_IEEE802154",
    "AF_CAIF",
    "AF_ALG",
    "AF_NFC",
    "AF_VSOCK",
    "AF_KCM",
    "AF_QIPCRTR",
    "AF_SMC",
    "AF_XDP",
    "AF_MCTP",
];

/// States of TCP.
pub const TCP_STATES: [&str; 12] = [
    "TCP_ESTABLISHED",
    "TCP_SYN_SENT",
    "TCP_SYN_RECV",
    "TCP_FIN_WAIT1",
    "TCP_FIN_WAIT2",
    "TCP_TIME_WAIT",
    "TCP_CLOSE",
    "TCP_CLOSE_WAIT",
    "TCP_LAST_ACK",
    "TCP_LISTEN",
    "TCP_CLOSING",
    "TCP_NEW_SYN_RECV",
];

/// Why the agent does not know that capability.
pub fn unknown_capability(value: &str, name: &str) -> String {
    let hint = match name.trim() {
        "CAP_DAC_OVERRIDE" => "the agent calls it DAC_OVERRIDE".to_owned(),
        bare if CAPABILITIES.contains(&format!("CAP_{bare}").as_str()) => {
            format!("write CAP_{bare}")
        }
        _ => "write a name that the agent knows, for example CAP_SYS_ADMIN".to_owned(),
    };
    format!("unknown capability {}: {hint}", quoted(value))
}
