//! Systems whose command line cannot be changed from inside.

use super::signs::{Boot, Signs};
use super::{Method, System};

pub(super) const ROWS: &[System] = &[
    System {
        name: "WSL 2",
        sign: "kernel release with `microsoft-standard`",
        is: |signs| signs.release.contains("microsoft-standard"),
        method: Method::Steps(super::Steps {
            set: "WSL (and containers on it, such as kind's nodes): add these lines to \
                  %UserProfile%\\.wslconfig on Windows (if the file already has [wsl2], add only \
                  the second line below it), and run `wsl --shutdown` \
                  there:\n[wsl2]\nkernelCommandLine = {parameter}",
            replace: None,
            remove: "WSL: remove {parameter} from kernelCommandLine in %UserProfile%\\.wslconfig \
                     on Windows, and run `wsl --shutdown` there.",
            by_hand: false,
        }),
        lasts: "If .wslconfig already has a kernelCommandLine, add the parameter to the end of \
                that line instead.",
        sources: &["https://learn.microsoft.com/en-us/windows/wsl/wsl-config"],
    },
    System {
        name: "Docker Desktop and other LinuxKit VMs",
        sign: "kernel release that ends in `-linuxkit`",
        is: |signs| signs.release.ends_with("-linuxkit"),
        method: Method::Locked(
            "This is a LinuxKit VM such as Docker Desktop's (or a container on it). Its kernel and \
             command line are part of its image. Use another machine.",
        ),
        lasts: "",
        sources: &["https://github.com/linuxkit/linuxkit/blob/master/docs/yaml.md"],
    },
    System {
        name: "OrbStack",
        sign: "kernel release with `orbstack`",
        is: |signs| signs.release.contains("orbstack"),
        method: Method::Locked(
            "This is a machine or container of OrbStack, which brings its own kernel and command \
             line. Use another machine.",
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
        method: Method::Locked(
            "This is a VM of ChromeOS (crosvm), which brings its own kernel and command line. Use \
             another machine.",
        ),
        lasts: "",
        sources: &["https://crosvm.dev/book/running_crosvm/advanced_usage.html"],
    },
    System {
        name: "gVisor",
        sign: "kernel release `4.4.0` without a suffix, or with `gvisor`",
        // No distribution has a kernel with exactly this release.
        is: |signs| signs.release == "4.4.0" || signs.release.contains("gvisor"),
        method: Method::Locked(
            "This is gVisor, a kernel in user space that has no LSM BPF. Use a node (or a \
             RuntimeClass) without gVisor.",
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
        method: Method::Locked(
            "This is a VM of Kata Containers. The runtime on its host sets its command line. If \
             the VM's kernel has LSM BPF, add the parameter to kernel_params in the runtime's \
             configuration.toml on the host. Otherwise run the pod without this RuntimeClass.",
        ),
        lasts: "An upgrade of Kata undoes it, because it brings its own configuration.toml.",
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
        method: Method::Locked(
            "This looks like a micro-VM (Firecracker or similar). Its kernel and command line are \
             set where it is started (Firecracker: boot_args of the boot source) and cannot be \
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
        sign: "providerID `kind://`, /run/systemd/container, a system named K3s, or a kernel and a \
               system of different vendors",
        is: |signs| signs.is_container,
        method: Method::Locked(
            "This node is a container. Its kernel and command line are those of the machine that \
             runs it. Run node-probe check on that machine for the steps, and change it there.",
        ),
        lasts: "",
        sources: &["https://kind.sigs.k8s.io/docs/design/initial/"],
    },
    System {
        name: "Container-Optimized OS",
        sign: "ID=cos, or `cros_efi` on the command line",
        is: |signs| signs.is(&["cos"]) || (signs.cmdline.has("cros_efi") && signs.os.id.is_empty()),
        method: Method::Locked(
            "Container-Optimized OS has no documented way to change the boot parameters of a node, \
             and GKE has no setting for them. Use a current image of Container-Optimized OS (with \
             kernel 5.10 or newer it lists bpf).",
        ),
        lasts: "",
        sources: &["https://cloud.google.com/kubernetes-engine/docs/how-to/node-system-config"],
    },
    System {
        name: "minikube's ISO",
        sign: "ID=buildroot and `root=/dev/sr0`, or a system named minikube",
        is: |signs| {
            signs.is(&["buildroot"])
                && (signs.cmdline.value("root") == Some("/dev/sr0")
                    || signs.os.pretty_name.contains("minikube"))
        },
        method: Method::Locked(
            "This is minikube's ISO, which contains the kernel and its command line. Build your \
             own ISO, or use minikube's driver none or docker on a machine that you can change.",
        ),
        lasts: "",
        sources: &["https://minikube.sigs.k8s.io/docs/contrib/building/iso/"],
    },
    System {
        name: "EKS Auto Mode",
        sign: "a system named Bottlerocket (EKS Auto…)",
        is: |signs| signs.os.pretty_name.contains("EKS Auto"),
        method: Method::Locked(
            "This is a node of EKS Auto Mode, which supports neither custom images nor boot \
             parameters. Use a managed node group with Bottlerocket or Amazon Linux 2023 for these \
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
        method: Method::Locked(
            "This system runs from a live medium (an ISO or similar), which contains the command \
             line. Install the system, or build a medium with the parameter.",
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
