//! Systems whose command line cannot be changed from inside.

use super::signs::{Boot, Signs};
use super::{System, Way};

pub(super) const ROWS: &[System] = &[
    System {
        name: "WSL 2",
        sign: "kernel release with `microsoft-standard`",
        is: |signs| signs.release.contains("microsoft-standard"),
        way: Way::Steps(super::Steps {
            set: "WSL (and containers on it, such as kind's nodes): put these lines into \
                  %UserProfile%\\.wslconfig on Windows (only the second one, below [wsl2], where \
                  the file has that already) and run `wsl --shutdown` \
                  there:\n[wsl2]\nkernelCommandLine = {parameter}",
            replace: None,
            remove: "WSL: take {parameter} out of kernelCommandLine in %UserProfile%\\.wslconfig \
                     on Windows, and run `wsl --shutdown` there.",
            by_hand: false,
        }),
        lasts: "Where .wslconfig has a kernelCommandLine already, add the parameter to the end of \
                that line instead.",
        sources: &["https://learn.microsoft.com/en-us/windows/wsl/wsl-config"],
    },
    System {
        name: "Docker Desktop and other LinuxKit VMs",
        sign: "kernel release that ends in `-linuxkit`",
        is: |signs| signs.release.ends_with("-linuxkit"),
        way: Way::Locked(
            "This is a LinuxKit VM such as Docker Desktop's (or a container on it), whose kernel \
             and command line are part of its image: take another machine.",
        ),
        lasts: "",
        sources: &["https://github.com/linuxkit/linuxkit/blob/master/docs/yaml.md"],
    },
    System {
        name: "OrbStack",
        sign: "kernel release with `orbstack`",
        is: |signs| signs.release.contains("orbstack"),
        way: Way::Locked(
            "This is a machine or container of OrbStack, which brings its own kernel and command \
             line: take another machine.",
        ),
        lasts: "",
        sources: &["https://github.com/orgs/orbstack/discussions/2637"],
    },
    System {
        name: "ChromeOS (Crostini, crosvm)",
        sign: "`maitred` on the command line, or ID=chromeos",
        is: |signs| {
            signs.is(&["chromeos"])
                || signs.cmdline.words.iter().any(|word| word.contains("maitred"))
        },
        way: Way::Locked(
            "This is a VM of ChromeOS (crosvm), which brings its own kernel and command line: take \
             another machine.",
        ),
        lasts: "",
        sources: &["https://crosvm.dev/book/running_crosvm/advanced_usage.html"],
    },
    System {
        name: "gVisor",
        sign: "kernel release `4.4.0` with nothing behind it, or with `gvisor`",
        // No distribution's kernel is called 4.4.0 without more.
        is: |signs| signs.release == "4.4.0" || signs.release.contains("gvisor"),
        way: Way::Locked(
            "This is gVisor, a kernel in user space that has no LSM BPF: take a node (or a \
             RuntimeClass) without it.",
        ),
        lasts: "",
        sources: &[
            "https://gvisor.dev/docs/architecture_guide/security/",
            "https://github.com/google/gvisor/blob/master/pkg/sentry/kernel/version/version.go",
        ],
    },
    System {
        name: "Kata Containers",
        sign: "`systemd.unit=kata-containers.target` or `agent.log…` on the command line",
        is: |signs| {
            signs.cmdline.has("systemd.unit=kata-containers.target")
                || signs.cmdline.has_prefix("agent.log")
        },
        way: Way::Locked(
            "This is a VM of Kata Containers, whose command line is put together on its host: add \
             the parameter to kernel_params in the runtime's configuration.toml there, if the VM's \
             kernel has what is needed, or take a pod without this RuntimeClass.",
        ),
        lasts: "An upgrade of Kata brings its own configuration.toml.",
        sources: &[
            "https://github.com/kata-containers/kata-containers/blob/main/docs/Developer-Guide.md",
        ],
    },
    System {
        name: "Firecracker and other micro-VMs",
        sign: "`reboot=k panic=1`, and `pci=off` or `nomodule`, on the command line",
        is: |signs| {
            let has = |word| signs.cmdline.has(word);
            has("reboot=k") && has("panic=1") && (has("pci=off") || has("nomodule"))
        },
        way: Way::Locked(
            "This looks like a micro-VM (Firecracker or the like), whose kernel and command line \
             are chosen by who starts it (Firecracker: boot_args of the boot source): it cannot be \
             changed from inside.",
        ),
        lasts: "",
        sources: &[
            "https://github.com/firecracker-microvm/firecracker/blob/main/docs/kernel-policy.md",
            "https://github.com/firecracker-microvm/firecracker/blob/main/src/vmm/src/vmm_config/boot_source.rs",
        ],
    },
    System {
        name: "A node that is a container (kind, k3d, minikube with Docker, LXC)",
        sign: "providerID `kind://`, /run/systemd/container, a system called K3s, or a kernel of \
               another maker than the system's",
        is: |signs| signs.is_container,
        way: Way::Locked(
            "This node is a container: its system is that of an image, and its kernel and command \
             line are those of the machine below it. Change the machine below: run node-probe \
             check there for its own steps.",
        ),
        lasts: "",
        sources: &["https://kind.sigs.k8s.io/docs/design/initial/"],
    },
    System {
        name: "Container-Optimized OS",
        sign: "ID=cos, or `cros_efi` on the command line",
        is: |signs| signs.is(&["cos"]) || (signs.cmdline.has("cros_efi") && signs.os.id.is_empty()),
        way: Way::Locked(
            "Container-Optimized OS has no documented way to change the boot parameters of a node, \
             and GKE has no setting for them: take a current image of Container-Optimized OS (with \
             kernel 5.10 or newer it lists bpf).",
        ),
        lasts: "",
        sources: &["https://cloud.google.com/kubernetes-engine/docs/how-to/node-system-config"],
    },
    System {
        name: "minikube's ISO",
        sign: "ID=buildroot and `root=/dev/sr0`, or a system called minikube",
        is: |signs| {
            signs.is(&["buildroot"])
                && (signs.cmdline.value("root") == Some("/dev/sr0")
                    || signs.os.pretty_name.contains("minikube"))
        },
        way: Way::Locked(
            "This is minikube's ISO, of which kernel and command line are a part: build an ISO of \
             your own, or use minikube's driver none or docker on a machine that you can change.",
        ),
        lasts: "",
        sources: &["https://minikube.sigs.k8s.io/docs/contrib/building/iso/"],
    },
    System {
        name: "EKS Auto Mode",
        sign: "a system called Bottlerocket (EKS Auto…)",
        is: |signs| signs.os.pretty_name.contains("EKS Auto"),
        way: Way::Locked(
            "This is a node of EKS Auto Mode, which takes neither an image of yours nor boot \
             parameters: use a managed node group of Bottlerocket or Amazon Linux 2023 for these \
             workloads.",
        ),
        lasts: "",
        sources: &[
            "https://docs.aws.amazon.com/eks/latest/userguide/auto-mng.html",
            "https://docs.aws.amazon.com/eks/latest/userguide/create-node-class.html",
        ],
    },
    System {
        name: "A live system (also Alpine from its ISO, as in Rancher Desktop)",
        sign: "`boot=live`, `boot=casper`, `rd.live.image`, `root=live:`, `archisobasedir=` or \
               `modules=loop,squashfs` on the command line",
        is: is_live,
        way: Way::Locked(
            "This system runs from a live medium (an ISO or the like), which its command line is a \
             part of: install it, or build a medium with the parameter.",
        ),
        lasts: "",
        sources: &[
            "https://manpages.debian.org/bookworm/live-boot-doc/live-boot.7.en.html",
            "https://gitlab.alpinelinux.org/alpine/aports/-/blob/master/scripts/mkimg.base.sh",
        ],
    },
];

fn is_live(signs: &Signs<'_>) -> bool {
    let cmdline = signs.cmdline;
    ["boot=live", "boot=casper", "rd.live.image"].into_iter().any(|word| cmdline.has(word))
        || ["root=live:", "archisobasedir=", "modules=loop,squashfs"]
            .into_iter()
            .any(|word| cmdline.has_prefix(word))
        || (signs.boot == Boot::Syslinux && cmdline.has_prefix("alpine_dev="))
}
