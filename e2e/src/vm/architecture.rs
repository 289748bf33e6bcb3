//! The guest's architecture: in, the kernel's image; out, the QEMU that runs it and what differs in its machine.

/// What the kernel was built for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Architecture {
    /// x86-64.
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

impl Architecture {
    /// By the magic number of Documentation/arch/arm64/booting.rst.
    pub fn of(kernel: &[u8]) -> Self {
        if kernel.get(56..60) == Some(b"ARM\x64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// The QEMU for it.
    pub const fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Arm64 => "qemu-system-aarch64",
        }
    }

    /// The package that has it.
    pub const fn package(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86",
            Self::Arm64 => "qemu-system-arm",
        }
    }

    /// It is this machine's own.
    pub fn is_native(self) -> bool {
        match self {
            Self::X86_64 => cfg!(target_arch = "x86_64"),
            Self::Arm64 => cfg!(target_arch = "aarch64"),
        }
    }

    /// Its boot parameters: the console and, where the kernel would give up on a timer that an emulated processor without
    /// time to spare serves late, not to test it ("IO-APIC + timer doesn't work!").
    pub const fn parameters(self) -> &'static str {
        match self {
            Self::X86_64 => "console=ttyS0 no_timer_check",
            Self::Arm64 => "console=ttyAMA0",
        }
    }

    /// QEMU's arguments for the console and for the character devices `out`, `err` and `code` as /dev/ttyS1 to 3.
    pub fn serial_ports(self, console: &str) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::X86_64 => &[
                "-serial",
                console,
                "-serial",
                "chardev:out",
                "-serial",
                "chardev:err",
                "-serial",
                "chardev:code",
            ],
            // The board's one port is none of /dev/ttyS*: a card has these, with nothing at its first.
            Self::Arm64 => &[
                "-M",
                "virt",
                "-serial",
                console,
                "-chardev",
                "null,id=none",
                "-device",
                "pci-serial-4x,chardev1=none,chardev2=out,chardev3=err,chardev4=code",
            ],
        };
        arguments.iter().map(|argument| (*argument).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_what_it_is_for() {
        let image = [&[0; 56][..], b"ARM\x64", &[0; 8]].concat();
        assert_eq!(Architecture::of(&image), Architecture::Arm64);
        assert_eq!(Architecture::of(b"MZ"), Architecture::X86_64);
    }
}
