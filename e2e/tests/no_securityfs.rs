//! The kernel tier of kernels without securityfs: the probe's container starts there and reports
//! what it found.
//!
//! In: Debian's kernels 6.1 and 6.12, booted with `initcall_blacklist=securityfs_init`. They are
//! then like a kernel without CONFIG_SECURITYFS: there is no directory /sys/kernel/security and no
//! such file system. And the manifest of the probe: runc starts its container with the mounts that
//! containerd makes of the manifest. Out: the container starts, proves the same as everywhere, and
//! reports that the kernel has no securityfs. With a mount of /sys/kernel/security it does not
//! start.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use e2e::stock_kernel::{Arch, Kernel, fetch};
use e2e::vm::{How, Machine, Securityfs, run};
use e2e::{kernels, paths};
use serde_json::{Value, json};

const RUNC: &str = "/usr/sbin/runc";

/// Whether the directory is there, then the outcome of a container with the narrow mount, then the
/// report of one with the manifest's.
const SCRIPT: &str = r"
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /c/rootfs/proc /c/rootfs/sys /c/rootfs/dev
ln /bin/node-probe /c/rootfs/node-probe
ls -d /sys/kernel/security >/dev/null 2>&1; echo $?
runc run --no-pivot --bundle /c/narrow narrow >/dev/null; echo $?
runc run --no-pivot --bundle /c/manifest manifest
";

#[test]
fn the_container_of_the_probe_starts_without_securityfs() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let kernels = ["6.1", "6.12"].map(|series| fetch(Arch::Amd64, series).unwrap());
    thread::scope(|scope| {
        for kernel in &kernels {
            scope.spawn(|| on(kernel, &files));
        }
    });
}

fn on(kernel: &Kernel, files: &[(PathBuf, String)]) {
    let text = output(kernel, files);
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
    let [directory, narrow, report] = values.as_slice() else {
        panic!("{}: {text}", kernel.release)
    };
    assert_eq!((directory, narrow), (&json!(1), &json!(1)), "{}", kernel.release);
    assert_eq!(
        (&report["evidence"], &report["securityfs"]),
        (&json!("Denied"), &json!("NotInKernel")),
        "{report:#}"
    );
    // Where the list is needed and missing, the fix is one that works on this kernel.
    let (source, reason, words) = if kernel.lists_lsms_by_call() {
        ("Syscall", "RequiredLsmInactive", "dmesg")
    } else {
        ("Unknown", "LsmListUnknown", "The verdict does not need it")
    };
    assert_eq!(
        (&report["lsms"]["source"], &report["reason"]),
        (&json!(source), &json!(reason)),
        "{report:#}"
    );
    let fix = report["fix"].as_str().unwrap();
    assert!(fix.contains(words) && !fix.contains("mount -t"), "{fix}");
}

/// runc with its libraries, and a bundle for each mount.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let daemon_set: Value = serde_saphyr::from_str(&manifest()).unwrap();
    let pod = &daemon_set["spec"]["template"]["spec"];
    let narrow = json!({"destination": "/sys/kernel/security", "type": "bind", "source": "/sys/kernel/security",
        "options": ["rbind", "rprivate", "ro"]});
    let mut files = kernels::machines::programs(Arch::Amd64).unwrap();
    files.push((RUNC.into(), "/bin/runc".to_owned()));
    files.extend(libraries().into_iter().map(|path| (path.clone().into(), path)));
    for (name, mounts) in [("narrow", vec![narrow]), ("manifest", mounts(pod))] {
        let path = folder.join(name);
        std::fs::write(&path, specification(&pod["containers"][0], &mounts).to_string()).unwrap();
        files.push((path, format!("/c/{name}/config.json")));
    }
    files
}

fn manifest() -> String {
    std::fs::read_to_string(paths::workspace().join("config/probe/daemonset.yaml")).unwrap()
}

/// The recursive bind mounts that containerd makes of the hostPath volumes.
fn mounts(pod: &Value) -> Vec<Value> {
    let source = |name: &Value| {
        let volumes = pod["volumes"].as_array().unwrap();
        volumes.iter().find(|volume| volume["name"] == *name).unwrap()["hostPath"]["path"].clone()
    };
    let mount = |mount: &Value| {
        let access = if mount["recursiveReadOnly"].is_string() { "rro" } else { "ro" };
        assert_eq!(mount["readOnly"], true);
        json!({"destination": mount["mountPath"], "type": "bind", "source": source(&mount["name"]),
            "options": ["rbind", "rprivate", access]})
    };
    pod["containers"][0]["volumeMounts"].as_array().unwrap().iter().map(mount).collect()
}

/// A container with the capabilities of the manifest, a sysfs and those mounts, in a mount
/// namespace of its own. It requires an LSM that is not active, so that its report shows whether it
/// can read the list.
fn specification(container: &Value, mounts: &[Value]) -> Value {
    let added = container["securityContext"]["capabilities"]["add"].as_array().unwrap();
    let capabilities: Vec<String> =
        added.iter().map(|name| format!("CAP_{}", name.as_str().unwrap())).collect();
    let options = json!(["nosuid", "noexec", "nodev"]);
    let mut all = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options}),
    ];
    all.extend(mounts.iter().cloned());
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/node-probe", "check", "--output", "json", "--deadline", "4m", "--require-lsm", "loadpin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": true,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "root": {"path": "/c/rootfs", "readonly": true},
        "mounts": all,
        "linux": {"namespaces": [{"type": "mount"}]},
    })
}

/// The libraries that runc is linked to, where it is not static.
fn libraries() -> Vec<String> {
    let listed = Command::new("ldd").arg(RUNC).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

/// Boots the kernel without securityfs and runs the script.
fn output(kernel: &Kernel, files: &[(PathBuf, String)]) -> String {
    let machine = Machine {
        kernel: kernel.image(),
        append: "initcall_blacklist=securityfs_init lsm=landlock,yama,loadpin,bpf".to_owned(),
        memory: 768,
        files: files.to_vec(),
        securityfs: Securityfs::Empty,
        timeout: Duration::from_mins(5),
    };
    let mut stdout = Vec::new();
    let ended = run(&machine, &["sh", "-c", SCRIPT].map(str::to_owned), &mut stdout).unwrap();
    let (stdout, stderr) =
        (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&ended.stderr));
    // The last command's code is that of the check, whose requirement is not met or not known.
    assert!(
        matches!(ended.how, How::Exited(0..=2)),
        "{:?}: {stdout}\n{stderr}\n{}",
        ended.how,
        ended.console
    );
    stdout
}
