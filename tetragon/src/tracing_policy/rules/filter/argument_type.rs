//! Types of arguments, by what their values can be compared with.

/// The type of an argument.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ArgumentType {
    /// A number with that many bits. `is_small` means that it had 8 or 16 bits in the kernel.
    Number { bits: u32, is_signed: bool, is_small: bool },
    /// Text, and what is compared as text.
    Text,
    /// A socket, or a packet with the addresses of one.
    Socket,
    /// `sockaddr`.
    Address,
    /// `sockaddr_un`.
    UnixAddress,
    /// `net_device`.
    Device,
    /// A set of capabilities.
    Capabilities,
    /// Anything else.
    Other,
}

impl ArgumentType {
    /// The type with that name.
    pub fn of(name: &str) -> Self {
        let number = |bits, is_signed, is_small| Self::Number { bits, is_signed, is_small };
        match name {
            "int" | "int32" | "sint32" | "size_t" => number(32, true, false),
            "int16" | "sint16" | "int8" | "sint8" => number(32, true, true),
            "uint32" => number(32, false, false),
            "uint16" | "uint8" => number(32, false, true),
            "int64" | "sint64" | "long" | "syscall64" => number(64, true, false),
            "uint64" | "ulong" => number(64, false, false),
            "fd" | "file" | "path" | "string" | "char_buf" | "linux_binprm" | "data_loc"
            | "dentry" => Self::Text,
            "net_device" => Self::Device,
            "sock" | "skb" | "socket" => Self::Socket,
            "sockaddr" => Self::Address,
            "sockaddr_un" => Self::UnixAddress,
            "kernel_cap_t" | "cap_inheritable" | "cap_permitted" | "cap_effective" => {
                Self::Capabilities
            }
            _ => Self::Other,
        }
    }
}
