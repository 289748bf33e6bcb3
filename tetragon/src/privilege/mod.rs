//! What the kernel lets the agent's container do, told by the pod template alone.
//!
//! In: the pod template and the container. Out: the capabilities that are in effect, and whether the container may mount
//! securityfs itself. Capabilities are resolved as containerd and CRI-O do it: `ALL` first, in `add` and then in `drop`, then
//! each name in `add`, then each name in `drop`. Names count without `CAP_` and in any case.
//!
//! Measured with runc 1.1.5 and containerd 1.6.20: mount(2) of securityfs works with CAP_SYS_ADMIN, also under containerd's
//! default seccomp profile. It fails without CAP_SYS_ADMIN, as another user than root, in a user namespace, and under a seccomp
//! profile that forbids mount(2).

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, PodSpec, PodTemplateSpec, SeccompProfile,
};

/// What a container gets from containerd unless it drops it. CRI-O gives a part of these.
const RUNTIME_DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Prefix of the annotation that named a container's AppArmor profile before Kubernetes 1.30.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// A set of capabilities, each named without `CAP_`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Capabilities {
    /// Every capability but these.
    AllBut(BTreeSet<String>),
    /// Only these.
    Only(BTreeSet<String>),
}

impl Capabilities {
    /// The set has that capability.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::AllBut(without) => !without.contains(name),
            Self::Only(these) => these.contains(name),
        }
    }

    fn insert(&mut self, name: String) {
        match self {
            Self::AllBut(without) => without.remove(&name),
            Self::Only(these) => these.insert(name),
        };
    }

    fn remove(&mut self, name: String) {
        match self {
            Self::AllBut(without) => without.insert(name),
            Self::Only(these) => these.remove(&name),
        };
    }
}

/// Why a container may not mount securityfs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Obstacle {
    /// The pod has a user namespace of its own.
    UserNamespace,
    /// The container does not run as root, so no capability is in effect. The field that says so.
    NotRoot(String),
    /// CAP_SYS_ADMIN is not among its capabilities.
    NoSysAdmin,
    /// A seccomp profile that lsm-ready cannot read.
    Seccomp(String),
    /// AppArmor's profile of that name is applied.
    AppArmor(String),
}

/// Which AppArmor profile the pod template asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AppArmor {
    /// None is asked for: where AppArmor is active, runtimes apply their default profile unless the container is privileged.
    Unset,
    /// None is applied.
    Unconfined,
    /// The runtime's default profile. The kubelet admits such a pod only where AppArmor is active.
    RuntimeDefault,
    /// A profile on the node.
    Localhost(String),
}

/// The container is privileged.
#[must_use]
pub fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
}

/// The capabilities that the container's processes have if they run as root.
#[must_use]
pub fn capabilities(container: &Container) -> Capabilities {
    if is_privileged(container) {
        return Capabilities::AllBut(BTreeSet::new());
    }
    let said =
        container.security_context.as_ref().and_then(|context| context.capabilities.as_ref());
    let names = |list: Option<&Vec<String>>| {
        list.into_iter().flatten().map(|name| bare(name)).collect::<Vec<_>>()
    };
    let add = names(said.and_then(|said| said.add.as_ref()));
    let drop = names(said.and_then(|said| said.drop.as_ref()));
    let has_all = |list: &[String]| list.iter().any(|name| name == "ALL");
    let mut found = match (has_all(&add), has_all(&drop)) {
        (_, true) => Capabilities::Only(BTreeSet::new()),
        (true, false) => Capabilities::AllBut(BTreeSet::new()),
        (false, false) => Capabilities::Only(RUNTIME_DEFAULT.map(str::to_owned).into()),
    };
    add.into_iter().filter(|name| name != "ALL").for_each(|name| found.insert(name));
    drop.into_iter().filter(|name| name != "ALL").for_each(|name| found.remove(name));
    found
}

/// `CAP_sys_admin` and `SYS_ADMIN` are the same capability.
fn bare(name: &str) -> String {
    let upper = name.trim().to_ascii_uppercase();
    upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_owned)
}

/// Whether the container may mount securityfs itself. `template` tells the AppArmor annotation of older manifests.
///
/// # Errors
/// The first thing that keeps it from mounting, or that may.
pub fn may_mount(
    template: &PodTemplateSpec,
    pod: &PodSpec,
    container: &Container,
) -> Result<(), Obstacle> {
    if has_user_namespace(pod) {
        return Err(Obstacle::UserNamespace);
    }
    runs_as_root(pod, container)?;
    if !capabilities(container).has("SYS_ADMIN") {
        return Err(Obstacle::NoSysAdmin);
    }
    let privileged = is_privileged(container);
    // A privileged container runs without seccomp, whatever is said.
    if let Some(profile) =
        seccomp(pod, container).filter(|profile| !privileged && profile.type_ == "Localhost")
    {
        return Err(Obstacle::Seccomp(profile.localhost_profile.clone().unwrap_or_default()));
    }
    match app_armor(template, pod, container) {
        AppArmor::Localhost(profile) => Err(Obstacle::AppArmor(profile)),
        AppArmor::RuntimeDefault if !privileged => {
            Err(Obstacle::AppArmor("RuntimeDefault".to_owned()))
        }
        AppArmor::RuntimeDefault | AppArmor::Unconfined | AppArmor::Unset => Ok(()),
    }
}

/// The pod has a user namespace of its own.
#[must_use]
pub fn has_user_namespace(pod: &PodSpec) -> bool {
    pod.host_users == Some(false)
}

/// Kubernetes gives no ambient capabilities, so another user than root has none in effect. Tetragon's images run as root.
fn runs_as_root(pod: &PodSpec, container: &Container) -> Result<(), Obstacle> {
    let (own, pods) = (container.security_context.as_ref(), pod.security_context.as_ref());
    let user =
        own.and_then(|own| own.run_as_user).or_else(|| pods.and_then(|pods| pods.run_as_user));
    let non_root = own
        .and_then(|own| own.run_as_non_root)
        .or_else(|| pods.and_then(|pods| pods.run_as_non_root));
    match (user, non_root) {
        (Some(user), _) if user != 0 => Err(Obstacle::NotRoot(format!("runAsUser: {user}"))),
        (_, Some(true)) => Err(Obstacle::NotRoot("runAsNonRoot: true".to_owned())),
        _ => Ok(()),
    }
}

/// The seccomp profile that is asked for: the container's, else the pod's.
#[must_use]
pub fn seccomp<'a>(pod: &'a PodSpec, container: &'a Container) -> Option<&'a SeccompProfile> {
    let own =
        container.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    own.or_else(|| pod.security_context.as_ref()?.seccomp_profile.as_ref())
}

/// The AppArmor profile that is asked for: by the container's field, the pod's, or the older annotation.
#[must_use]
pub fn app_armor(template: &PodTemplateSpec, pod: &PodSpec, container: &Container) -> AppArmor {
    let own =
        container.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    let field = own.or_else(|| pod.security_context.as_ref()?.app_armor_profile.as_ref());
    if let Some(AppArmorProfile { type_, localhost_profile }) = field {
        return match type_.as_str() {
            "Unconfined" => AppArmor::Unconfined,
            "Localhost" => AppArmor::Localhost(localhost_profile.clone().unwrap_or_default()),
            _ => AppArmor::RuntimeDefault,
        };
    }
    let key = format!("{APP_ARMOR_ANNOTATION}{}", container.name);
    let annotation =
        template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref()?.get(&key));
    match annotation.map(String::as_str) {
        None | Some("") => AppArmor::Unset,
        Some("unconfined") => AppArmor::Unconfined,
        Some("runtime/default") => AppArmor::RuntimeDefault,
        Some(other) => {
            AppArmor::Localhost(other.strip_prefix("localhost/").unwrap_or(other).to_owned())
        }
    }
}

/// The runtime's default AppArmor profile is applied to the container on a node where AppArmor is active. Under it an agent
/// can neither start nor read securityfs through a mount.
#[must_use]
pub fn is_confined_by_default(
    template: &PodTemplateSpec,
    pod: &PodSpec,
    container: &Container,
) -> bool {
    let by_default =
        matches!(app_armor(template, pod, container), AppArmor::Unset | AppArmor::RuntimeDefault);
    by_default && !is_privileged(container)
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserNamespace => {
                write!(f, "its pod has a user namespace of its own (hostUsers: false)")
            }
            Self::NotRoot(field) => {
                write!(f, "it does not run as root ({field}), so it has no capability in effect")
            }
            Self::NoSysAdmin => {
                write!(f, "it is not privileged and has no SYS_ADMIN among its capabilities")
            }
            Self::Seccomp(profile) => {
                write!(f, "its seccomp profile (Localhost {profile}) may forbid mount(2)")
            }
            Self::AppArmor(profile) => {
                write!(f, "its AppArmor profile ({profile}) forbids mount(2), or may")
            }
        }
    }
}

#[cfg(test)]
mod tests;
