//! Clouds whose managed nodes are replaced, with all that was changed on them. In: the facts. Out:
//! the cloud.

use crate::facts::Facts;

/// Whose machine it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cloud {
    /// Amazon's.
    Aws,
    /// Microsoft's.
    Azure,
    /// Google's.
    Google,
}

impl Cloud {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Aws, Self::Azure, Self::Google];

    /// Recognises it by the Node's providerID, the kernel's flavour, the system, and the maker that
    /// the firmware names.
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

    /// What people call it, and how it is recognised.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Aws => {
                "AWS: providerID `aws://`, a kernel of flavour `aws`, ID=amzn, or the firmware's \
                 maker Amazon EC2"
            }
            Self::Azure => {
                "Azure: providerID `azure://`, a kernel of flavour `azure`, ID=azurelinux or \
                 mariner, or the firmware's maker Microsoft Corporation (Hyper-V too)"
            }
            Self::Google => {
                "Google Cloud: providerID `gce://`, a kernel of flavour `gke` or `gcp`, or the \
                 firmware's maker Google"
            }
        }
    }

    /// What has to be done so that the next node has the change too.
    pub const fn for_good(self) -> &'static str {
        match self {
            Self::Aws => {
                "If this is a node of EKS, put this into the user data of the node group's launch \
                 template, or into its AMI. A node that is replaced loses what was changed on it."
            }
            Self::Azure => {
                "If this is a node of AKS: newer node images of Ubuntu 24.04 and Azure Linux 3 \
                 boot with bpf already (not those of confidential VMs and Kata), so upgrade the \
                 node image first. AKS has no setting for boot parameters, and each upgrade of the \
                 node image undoes the change: let a privileged DaemonSet make it and reboot the \
                 node, or use nodes that you manage yourself."
            }
            Self::Google => {
                "If this is a node of GKE: GKE has no setting for boot parameters, and a node that \
                 is upgraded or repaired loses the change: let a privileged DaemonSet make it and \
                 reboot the node, or use nodes that you manage yourself."
            }
        }
    }

    /// Where it documents what a node can be given.
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
