//! The boots: parameters, and the places to ask from in each boot. Places share a boot, because
//! booting takes longer than a check.

use super::Place;

/// One way to boot a kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Boot {
    /// The boot parameters.
    pub parameters: &'static str,
    /// Where to ask from. The host is always the first.
    pub places: &'static [Place],
}

const EVERYWHERE: &[Place] = &Place::ALL;
const SHORT: &[Place] = &[Place::Host, Place::Nobody];
const LOCKED_DOWN: &[Place] =
    &[Place::Host, Place::SecurityfsEmpty, Place::OnlyBpfAndPerfmon, Place::Nobody];

/// All boots.
pub const BOOTS: [Boot; 14] = [
    Boot { parameters: "lsm=landlock,lockdown,yama,bpf", places: EVERYWHERE },
    Boot { parameters: "lsm=landlock,lockdown,yama", places: EVERYWHERE },
    Boot { parameters: "lsm=bpf,landlock,lockdown,yama", places: SHORT },
    Boot { parameters: "lsm=landlock,bpf,bpf", places: SHORT },
    // Debian's kernels have bpf in their default list, which counts without lsm= and with
    // security=.
    Boot { parameters: "", places: SHORT },
    Boot { parameters: "security=apparmor", places: SHORT },
    Boot { parameters: "lsm=landlock,bfp", places: SHORT },
    // An empty list is a list too.
    Boot { parameters: "lsm=", places: SHORT },
    // A blank ends the parameter. The rest is another parameter.
    Boot { parameters: "lsm=landlock,yama, bpf", places: SHORT },
    // The last of several counts.
    Boot { parameters: "lsm=landlock,bpf lsm=yama", places: SHORT },
    Boot { parameters: "lsm=yama lsm=landlock,bpf", places: SHORT },
    Boot { parameters: "lsm=lockdown,bpf lockdown=integrity", places: LOCKED_DOWN },
    Boot { parameters: "lsm=lockdown,bpf lockdown=confidentiality", places: LOCKED_DOWN },
    Boot { parameters: "lsm=lockdown,yama lockdown=confidentiality", places: LOCKED_DOWN },
];

impl Boot {
    /// The parameters, or `(none)`.
    pub const fn title(&self) -> &'static str {
        if self.parameters.is_empty() { "(none)" } else { self.parameters }
    }

    /// The list of the last `lsm=` parameter, which is the one that counts; none where there is no
    /// such parameter.
    pub fn lsm_parameter(&self) -> Option<&'static str> {
        self.parameters.split(' ').filter_map(|word| word.strip_prefix("lsm=")).next_back()
    }

    /// Whether programs may not read kernel memory: see kernel_lockdown(7).
    pub fn forbids_kernel_reads(&self) -> bool {
        self.parameters.split(' ').any(|word| word == "lockdown=confidentiality")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boot_asks_from_the_host_first() {
        for boot in BOOTS {
            assert_eq!(boot.places.first(), Some(&Place::Host), "{}", boot.parameters);
        }
    }

    #[test]
    fn the_last_of_several_lists_counts() {
        let boot = |parameters| Boot { parameters, places: SHORT };
        assert_eq!(boot("quiet lsm=a,bpf x=1 lsm=b").lsm_parameter(), Some("b"));
        assert_eq!(boot("lsm=").lsm_parameter(), Some(""));
        assert_eq!(boot("security=apparmor").lsm_parameter(), None);
    }
}
