//! Clouds that replace managed nodes, and with them all changes made by hand. In: the facts. Out:
//! the cloud.

use crate::facts::Facts;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cloud {
    Aws,
    Azure,
    Google,
}

impl Cloud {
    pub const ALL: [Self; 3] = [Self::Aws, Self::Azure, Self::Google];

    /// Recognises the cloud by the Node's providerID, the kernel's flavour, the system, and the
    /// firmware's vendor.
    pub fn of(facts: &Facts) -> Option<Self> {
        let flavour = |name: &str| facts.kernel.release.split('-').any(|part| part == name);
        let provider = |scheme: &str| facts.provider_id.starts_with(scheme);
        let id = facts.os.id.as_str();
        if provider("aws://") || flavour("aws") || id == "amzn" || facts.sys_vendor == "Amazon EC2"
        {
            Some(Self::Aws)
        } else if provider("azure://")
            || flavour("azure")
            || ["azurelinux", "mariner"].contains(&id)
            || facts.sys_vendor == "Microsoft Corporation"
        {
            Some(Self::Azure)
        } else if provider("gce://")
            || flavour("gke")
            || flavour("gcp")
            || facts.sys_vendor == "Google"
        {
            Some(Self::Google)
        } else {
            None
        }
    }

    /// Its name, and how it is recognised.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Aws => {
                "AWS: providerID `aws://`, a kernel of flavour `aws`, ID=amzn, or Amazon EC2 as \
                 the firmware's vendor"
            }
            Self::Azure => {
                "Azure: providerID `azure://`, a kernel of flavour `azure`, ID=azurelinux or \
                 mariner, or Microsoft Corporation as the firmware's vendor (Hyper-V too)"
            }
            Self::Google => {
                "Google Cloud: providerID `gce://`, a kernel of flavour `gke` or `gcp`, or Google \
                 as the firmware's vendor"
            }
        }
    }

    /// What to do so that new nodes have the change too.
    pub const fn for_good(self) -> &'static str {
        match self {
            Self::Aws => {
                "If this is a node of EKS, make the change in the user data of the node group's \
                 launch template, or in its AMI. A replaced node loses what was changed on it."
            }
            Self::Azure => {
                "If this is a node of AKS, upgrade the node image first: newer images of Ubuntu \
                 24.04 and Azure Linux 3 boot with bpf (not those for confidential VMs and Kata). \
                 AKS has no setting for boot parameters, and each upgrade of the node image undoes \
                 the change. Let a privileged DaemonSet make the change and reboot the node, or \
                 use nodes that you manage yourself."
            }
            Self::Google => {
                "If this is a node of GKE: GKE has no setting for boot parameters, and an upgrade \
                 or a repair of the node undoes the change. Let a privileged DaemonSet make the \
                 change and reboot the node, or use nodes that you manage yourself."
            }
        }
    }

    /// Where the cloud documents the settings of a node.
    pub const fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Aws => {
                &["https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html"]
            }
            Self::Azure => &[
                "https://learn.microsoft.com/en-us/azure/aks/custom-node-configuration",
                "https://github.com/Azure/AgentBaker/blob/main/vhdbuilder/packer/install-dependencies.sh",
            ],
            Self::Google => {
                &["https://cloud.google.com/kubernetes-engine/docs/how-to/node-system-config"]
            }
        }
    }
}
