//! The architecture of a virtual machine.
//!
//! In: the kernel's image. Out: the QEMU that runs it, and what differs in its machine.

/// The architecture that a kernel was built for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Architecture {
    /// x86-64.
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

impl Architecture {
    /// Found by the magic number of Documentation/arch/arm64/booting.rst.
    pub fn of(kernel: &[u8]) -> Self {
        if kernel.get(56..60) == Some(b"ARM\x64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// The QEMU that emulates it.
    pub const fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Arm64 => "qemu-system-aarch64",
        }
    }

    /// The package that has this QEMU.
    pub const fn package(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86",
            Self::Arm64 => "qemu-system-arm",
        }
    }

    /// Whether it is this machine's own.
    pub fn is_native(self) -> bool {
        match self {
            Self::X86_64 => cfg!(target_arch = "x86_64"),
            Self::Arm64 => cfg!(target_arch = "aarch64"),
        }
    }

    /// Its boot parameters: the console and, on x86-64, that the kernel does not test its timer. An
    /// emulated processor on a busy machine serves the timer late, and the kernel would panic
    /// ("IO-APIC + timer doesn't work!").
    pub const fn parameters(self) -> &'static str {
        match self {
            Self::X86_64 => "console=ttyS0 no_timer_check",
            Self::Arm64 => "console=ttyAMA0",
        }
    }

    /// QEMU's arguments for the character device `console` as the kernel's console, and for others
    /// as /dev/ttyS1 and on.
    pub fn serial_ports(self, ports: &[&str]) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        match self {
            Self::X86_64 => {
                add("-serial", "chardev:console".to_owned());
                for port in ports {
                    add("-serial", format!("chardev:{port}"));
                }
            }
            // The board's one port is none of /dev/ttyS*: a card has these, with nothing at its
            // first.
            Self::Arm64 => {
                add("-M", "virt".to_owned());
                add("-serial", "chardev:console".to_owned());
                if !ports.is_empty() {
                    add("-chardev", "null,id=none".to_owned());
                    let ports = (2..).zip(ports).map(|(at, port)| format!(",chardev{at}={port}"));
                    add(
                        "-device",
                        format!("pci-serial-4x,chardev1=none{}", ports.collect::<String>()),
                    );
                }
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_is_read_from_the_kernels_image() {
        let image = [&[0; 56][..], b"ARM\x64", &[0; 8]].concat();
        assert_eq!(Architecture::of(&image), Architecture::Arm64);
        assert_eq!(Architecture::of(b"MZ"), Architecture::X86_64);
    }

    #[test]
    fn ports_have_the_same_numbers_on_both_architectures() {
        let serial = |architecture: Architecture| architecture.serial_ports(&["a", "b"]).join(" ");
        assert_eq!(
            serial(Architecture::X86_64),
            "-serial chardev:console -serial chardev:a -serial chardev:b"
        );
        assert!(serial(Architecture::Arm64).ends_with("chardev1=none,chardev2=a,chardev3=b"));
    }
}
