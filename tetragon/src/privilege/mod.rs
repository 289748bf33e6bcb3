//! What the kernel lets the agent's container do, as far as the pod template shows.
//!
//! In: the pod template and the container. Out: the effective capabilities, and whether the
//! container may mount securityfs itself. Capabilities are resolved as containerd and CRI-O do:
//! first `ALL` in `add` and then in `drop`, then each name in `add`, then each name in `drop`.
//! `CAP_` and case do not matter.
//!
//! Measured with runc 1.1.5 and containerd 1.6.20: mount(2) of securityfs works with CAP_SYS_ADMIN,
//! also under containerd's default seccomp profile. It fails without CAP_SYS_ADMIN, as another user
//! than root, in a user namespace, and under a seccomp profile that forbids mount(2).

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, PodSpec, PodTemplateSpec, SeccompProfile,
};

/// Capabilities that containerd gives a container unless it drops them. CRI-O gives some of these.
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

/// Prefix of the annotation for a container's AppArmor profile before Kubernetes 1.30.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// A set of capabilities, named without `CAP_`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Capabilities {
    /// All capabilities except these.
    AllBut(BTreeSet<String>),
    /// Only these.
    Only(BTreeSet<String>),
}

impl Capabilities {
    /// Whether the set has that capability.
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

/// What prevents a container from mounting securityfs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Obstacle {
    /// The pod has its own user namespace.
    UserNamespace,
    /// The container does not run as root, so no capability is effective. With the field that says
    /// so.
    NotRoot(String),
    /// SYS_ADMIN is not among its capabilities.
    NoSysAdmin,
    /// It has the seccomp profile with this name, which lsm-ready cannot read.
    Seccomp(String),
    /// It has the AppArmor profile with this name.
    AppArmor(String),
}

/// The AppArmor profile that a pod template asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AppArmor {
    /// No profile is set. On nodes where AppArmor is active, runtimes apply their default profile,
    /// unless the container is privileged.
    Unset,
    /// No profile is applied.
    Unconfined,
    /// The runtime's default profile. The kubelet admits such a pod only where AppArmor is active.
    RuntimeDefault,
    /// The profile with this name on the node.
    Localhost(String),
}

/// Whether the container is privileged.
#[must_use]
pub fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
}

/// The effective capabilities of the container's processes, if they run as root.
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

/// The name in upper case and without `CAP_`.
fn bare(name: &str) -> String {
    let upper = name.trim().to_ascii_uppercase();
    upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_owned)
}

/// Whether the container may mount securityfs itself. `template` has the AppArmor annotation of
/// older manifests.
///
/// # Errors
/// The first obstacle that prevents the mount, or that may prevent it.
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
    // A privileged container runs without seccomp, whatever the profile is.
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

/// Whether the pod has its own user namespace.
#[must_use]
pub fn has_user_namespace(pod: &PodSpec) -> bool {
    pod.host_users == Some(false)
}

/// Kubernetes gives no ambient capabilities, so another user than root has no effective ones.
/// Tetragon's images run as root.
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

/// The seccomp profile of the container, else of the pod.
#[must_use]
pub fn seccomp<'a>(pod: &'a PodSpec, container: &'a Container) -> Option<&'a SeccompProfile> {
    let own =
        container.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    own.or_else(|| pod.security_context.as_ref()?.seccomp_profile.as_ref())
}

/// The AppArmor profile, from the container's field, else the pod's field, else the older
/// annotation.
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

/// Whether the container gets the runtime's default AppArmor profile on a node where AppArmor is
/// active. Under it an agent can neither start nor read securityfs through a mount.
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
                write!(f, "its pod has its own user namespace (hostUsers: false)")
            }
            Self::NotRoot(field) => {
                write!(
                    f,
                    "the container does not run as root ({field}), so it has no effective \
                     capability"
                )
            }
            Self::NoSysAdmin => {
                write!(
                    f,
                    "the container is not privileged and has no SYS_ADMIN among its capabilities"
                )
            }
            Self::Seccomp(profile) => {
                write!(f, "its seccomp profile (Localhost {profile}) may forbid mount(2)")
            }
            Self::AppArmor(profile) => {
                write!(f, "its AppArmor profile ({profile}) may forbid mount(2)")
            }
        }
    }
}

#[cfg(test)]
mod tests;
