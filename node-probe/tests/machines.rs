//! Recorded machines, looked at with `node-probe check --from`: the whole fix for each, as people
//! read it.
//!
//! Each machine is tests/facts/debian-6.12-without-bpf.json with some of its texts changed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A machine, by what differs from the record.
struct Machine {
    release: &'static str,
    cmdline: &'static str,
    /// The active LSMs.
    active: &'static str,
    /// The lines of os-release.
    os: &'static str,
    /// The lines of the kernel's configuration; empty where it cannot be read.
    config: &'static str,
}

const PLAIN: Machine =
    Machine { release: "6.12.1", cmdline: "", active: "capability,yama", os: "", config: "" };

impl Machine {
    fn facts(&self) -> Value {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/facts/debian-6.12-without-bpf.json");
        let mut facts: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let machine = if self.release.contains("tegra") { "aarch64" } else { "x86_64" };
        facts["kernel"] = json!({"release": self.release, "machine": machine});
        facts["cmdline"] = json!({"Ok": format!("{}\n", self.cmdline)});
        facts["lsmIds"] = json!({"Err": libc::ENOSYS});
        facts["lsmFile"] = json!({"Ok": self.active});
        facts["osRelease"] = json!({"Ok": self.os});
        facts["sysVendor"] = json!({"Ok": "\n"});
        if !self.config.is_empty() {
            facts["kernelConfig"] = json!({"Ok": {"path": "/proc/config.gz", "text": self.config}});
        }
        facts
    }

    /// The report on it.
    fn check(&self, more: &[&str]) -> Value {
        report(&self.facts(), more)
    }

    fn fix(&self, more: &[&str]) -> String {
        self.check(more)["fix"].as_str().unwrap().to_owned()
    }
}

fn report(facts: &Value, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts.json");
    std::fs::write(&path, facts.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_node-probe"));
    let output =
        command.args(["check", "-o", "json", "--from"]).arg(&path).args(more).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn integrity_is_kept_and_bpf_stands_last() {
    for (machine, more, list) in [
        (
            Machine {
                release: "5.15.0-144-generic",
                cmdline: "BOOT_IMAGE=/v ro ima_policy=tcb",
                active: "lockdown,capability,landlock,yama,apparmor",
                os: "ID=ubuntu",
                config: "CONFIG_IMA=y\nCONFIG_LSM=\"landlock,lockdown,yama,integrity,apparmor\"\n",
            },
            &[][..],
            "landlock,lockdown,yama,integrity,apparmor,bpf",
        ),
        (
            Machine {
                release: "6.2.1-arch1-1",
                cmdline: "BOOT_IMAGE=/v",
                active: "capability,landlock,lockdown,yama,bpf",
                os: "ID=arch",
                config: "",
            },
            &["--require-lsm", "apparmor"],
            "landlock,lockdown,yama,integrity,apparmor,bpf",
        ),
        (
            Machine {
                release: "6.1.0-28-amd64",
                cmdline: "BOOT_IMAGE=/v lsm=lockdown,bfp,yama,apparmor",
                active: "lockdown,capability,yama,apparmor",
                os: "ID=debian",
                config: "",
            },
            &[],
            "lockdown,yama,apparmor,bpf",
        ),
        (
            Machine {
                release: "5.14.0-503.el9.x86_64",
                cmdline: "BOOT_IMAGE=(hd0,gpt2)/v",
                active: "lockdown,capability,yama,selinux",
                os: "ID=rhel",
                config: "CONFIG_LSM=\"lockdown,yama,integrity,selinux\"\n",
            },
            &[],
            "lockdown,yama,integrity,selinux,bpf",
        ),
        (
            Machine {
                release: "6.6.30",
                cmdline: "BOOT_IMAGE=/v security=selinux",
                active: "lockdown,capability,yama,selinux",
                os: "ID=arch",
                config: "CONFIG_LSM=\"yama,apparmor,selinux,tomoyo\"\n",
            },
            &[],
            "lockdown,yama,integrity,selinux,bpf",
        ),
    ] {
        let fix = machine.fix(more);
        assert!(fix.starts_with(&format!("Boot with lsm={list}")), "{fix}");
    }
}

/// Release, command line, os-release, and words of the fix.
const MACHINES: &[(&str, &str, &str, &str)] = &[
    ("6.8.12-tegra", "root=PARTUUID=x rw rootwait console=ttyUTC0", "ID=ubuntu", "APPEND"),
    (
        "6.12.20",
        "initrd=\\EFI\\nixos\\x.efi init=/nix/store/x/init",
        "ID=nixos",
        "nixos-rebuild boot",
    ),
    (
        "6.8.12-4-pve",
        "initrd=\\EFI\\proxmox\\x root=ZFS=rpool/ROOT/pve-1 boot=zfs",
        "ID=debian",
        "proxmox-boot-tool refresh",
    ),
    (
        "6.12.20-0-virt",
        "BOOT_IMAGE=vmlinuz-virt initrd=initramfs-virt",
        "ID=alpine",
        "update-extlinux",
    ),
    (
        "5.14.21-150500.55-default",
        "quiet",
        "PRETTY_NAME=\"SUSE Linux Enterprise Micro 5.5\"",
        "transactional-update grub.cfg",
    ),
    ("6.11.4-301.fc41.x86_64", "BOOT_IMAGE=(hd0,gpt2)/v", "ID=debian", "This node is a container"),
    ("5.15.180", "BOOT_IMAGE=(hd0,gpt3)/vmlinuz bootconfig", "ID=bottlerocket", "apiclient reboot"),
    ("6.1.85+", "cros_efi", "ID=cos", "current image of Container-Optimized OS"),
    (
        "5.10.134-18.al8.x86_64",
        "BOOT_IMAGE=(hd0,msdos1)/boot/v",
        "PRETTY_NAME=\"Alibaba Cloud Linux 3\"",
        "grubby",
    ),
    (
        "5.10.134-18.an8.x86_64",
        "BOOT_IMAGE=(hd0,msdos1)/boot/v",
        "PRETTY_NAME=\"Anolis OS 8.8\"",
        "grubby",
    ),
    (
        "6.6.47-12.tl4.x86_64",
        "BOOT_IMAGE=(hd0,msdos1)/boot/v",
        "PRETTY_NAME=\"TencentOS Server 4\"",
        "grubby",
    ),
    (
        "5.10.0-216.oe2203sp4.x86_64",
        "BOOT_IMAGE=/v",
        "PRETTY_NAME=\"openEuler 22.03 (LTS-SP4)\"",
        "/boot/efi/EFI/openEuler/grub.cfg",
    ),
    (
        "4.19.90-2107.6.eulerosv2r10.x86_64",
        "BOOT_IMAGE=/v",
        "PRETTY_NAME=\"EulerOS 2.0 (SP10)\"",
        "grubby",
    ),
    (
        "5.15.167.1-2.cm2",
        "BOOT_IMAGE=/boot/v",
        "PRETTY_NAME=\"CBL-Mariner/Linux\"",
        "AKS has no setting",
    ),
    (
        "6.6.57.1-7.azl3",
        "BOOT_IMAGE=/boot/v",
        "PRETTY_NAME=\"Microsoft Azure Linux 3.0\"",
        "grub2-mkconfig -o /boot/grub2/grub.cfg",
    ),
    (
        "6.1.112-124.190.amzn2023.x86_64",
        "BOOT_IMAGE=(hd0,gpt1)/v",
        "PRETTY_NAME=\"Amazon Linux 2023.6.20241010\"",
        "launch template",
    ),
    ("6.8.0-1021-aws", "BOOT_IMAGE=/v", "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"", "update-grub"),
    (
        "6.1.0-28-amd64",
        "BOOT_IMAGE=/v",
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"",
        "/etc/default/grub.d/99-lsm.cfg",
    ),
    (
        "5.14.0-503.el9.x86_64",
        "BOOT_IMAGE=(hd0,gpt2)/v",
        "PRETTY_NAME=\"Rocky Linux 9.4 (Blue Onyx)\"",
        "grubby",
    ),
    (
        "5.15.0-205.el9uek.x86_64",
        "BOOT_IMAGE=(hd0,gpt2)/v",
        "PRETTY_NAME=\"Oracle Linux Server 9.4\"",
        "grubby",
    ),
    (
        "6.11.4-301.fc41.x86_64",
        "BOOT_IMAGE=(hd0,gpt3)/x ostree=/ostree/x",
        "PRETTY_NAME=\"Fedora CoreOS 41.20250215.3.0\"",
        "rpm-ostree",
    ),
    (
        "5.14.0-427.el9.x86_64",
        "BOOT_IMAGE=(hd0,gpt3)/x ostree=/ostree/x",
        "PRETTY_NAME=\"Red Hat Enterprise Linux CoreOS 417\"",
        "MachineConfig",
    ),
    (
        "6.18.2-talos",
        "talos.platform=metal",
        "PRETTY_NAME=\"Talos (v1.12.0)\"",
        "Image Factory schematic",
    ),
    (
        "6.6.60-flatcar",
        "BOOT_IMAGE=/flatcar/v",
        "PRETTY_NAME=\"Flatcar Container Linux by Kinvolk 4081\"",
        "/oem/grub.cfg",
    ),
    (
        "6.1.129",
        "BOOT_IMAGE=(hd0,gpt3)/v",
        "PRETTY_NAME=\"Bottlerocket (EKS Auto, Standard) 2025.7.18\"",
        "EKS Auto Mode",
    ),
    (
        "6.8.0-48-generic",
        "BOOT_IMAGE=/v",
        "PRETTY_NAME=\"K3s v1.31.4+k3s1\"",
        "This node is a container",
    ),
    ("6.8.0-48-generic", "BOOT_IMAGE=/v", "ID=debian", "This node is a container"),
    ("6.9.1-arch1-1", "initrd=\\initramfs-linux.img", "ID=arch", "/boot/loader/entries"),
    (
        "6.9.1-arch1-1",
        "BOOT_IMAGE=/boot/vmlinuz-linux",
        "ID=arch",
        "grub-mkconfig -o /boot/grub/grub.cfg",
    ),
    (
        "6.11.5-1-default",
        "initrd=\\opensuse-microos\\x",
        "ID=opensuse-microos\nID_LIKE=\"suse opensuse\"",
        "sdbootutil",
    ),
    (
        "6.9.3-76060903-generic",
        "initrd=\\EFI\\Pop_OS-1\\i",
        "ID=pop\nID_LIKE=\"ubuntu debian\"",
        "kernelstub -a",
    ),
    ("6.8.0-1013-raspi", "vc_mem.mem_size=0x4000", "ID=ubuntu", "/boot/firmware/cmdline.txt"),
    ("6.6.95", "BOOT_IMAGE=/boot/bzImage root=/dev/sr0", "ID=buildroot", "minikube's ISO"),
    ("5.15.153.1-microsoft-standard-WSL2", "initrd=\\initrd.img", "ID=ubuntu", ".wslconfig"),
    ("6.10.14-linuxkit", "quiet", "ID=debian", "LinuxKit"),
    ("6.8.0-48-generic", "root=UUID=x ro", "ID=ubuntu", "was not recognised"),
    (
        "6.1.0-28-amd64",
        "BOOT_IMAGE=pxe/vmlinuz initrd=pxe/initrd",
        "ID=debian",
        "was not recognised",
    ),
    ("6.1.99-vyos", "BOOT_IMAGE=/boot/v", "ID=vyos\nID_LIKE=debian", "was not recognised"),
];

#[test]
fn systems_with_a_way_of_their_own_are_told_it() {
    for (release, cmdline, os, words) in MACHINES {
        let fix = Machine { release, cmdline, os, ..PLAIN }.fix(&[]);
        assert!(
            fix.contains("yama,integrity,bpf") || fix.contains("security.lsm"),
            "{release}: {fix}"
        );
        assert!(fix.contains(words), "{release}: {fix}");
    }
}

#[test]
fn a_kernel_that_cannot_is_told_all_that_it_lacks() {
    let photon = Machine {
        release: "6.1.10-11.ph5",
        os: "ID=photon",
        config: "# CONFIG_BPF_LSM is not set\n# CONFIG_DEBUG_INFO_BTF is not set\n",
        ..PLAIN
    };
    let mut facts = photon.facts();
    facts["btf"] = json!({"Err": {"missing": true, "message": "/sys/kernel/btf/vmlinux: No such \
        file or directory"}});
    let report = report(&facts, &[]);
    assert_eq!(report["reason"], "BtfMissing");
    let fix = report["fix"].as_str().unwrap();
    assert!(fix.contains("without CONFIG_BPF_LSM and CONFIG_DEBUG_INFO_BTF"), "{fix}");
}

/// One record is judged in less than 100 ms, the start of the program with it.
#[test]
fn recorded_facts_are_judged_at_once() {
    let facts = Machine { os: "ID=debian", cmdline: "BOOT_IMAGE=/v", ..PLAIN }.facts();
    let tries = (0..20).map(|_| {
        let since = Instant::now();
        report(&facts, &[]);
        since.elapsed()
    });
    assert!(tries.min().unwrap() < Duration::from_millis(100));
}
