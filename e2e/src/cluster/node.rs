//! The nodes of a cluster as they are written: `host`, `vm:NAME`, `vm:NAME=LSM,LSM`.
//!
//! In: these words. Out: each node's name, addresses and, for a virtual machine, its `lsm=` list.
//! Pure.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// What `vm:lsm` boots with. `vm:nolsm` is the same without `bpf`.
pub const LSM_LIST: &str = "landlock,lockdown,yama,integrity,bpf";
/// The first address of the nodes' network, which this machine has.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The last number in the address of the first virtual machine.
const FIRST_VM: u8 = 10;
/// The largest number of nodes. More would not fit into the memory of any machine, and the address
/// has one byte for them.
const MAX_NODES: usize = 100;

/// What is invalid in a description of nodes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// None of the forms.
    #[error(
        "invalid node {0:?}: use host, vm:lsm, vm:nolsm or vm:NAME=LIST, for example vm:custom=landlock,bpf"
    )]
    Form(String),
    /// A name that Kubernetes would refuse.
    #[error(
        "invalid name of a node {0:?}: use lower-case letters, digits and '-', for example vm:a-1=bpf"
    )]
    Name(String),
    /// A list with something else than names of LSMs in it.
    #[error(
        "invalid list of LSMs {0:?}: use names with commas between them, for example landlock,bpf"
    )]
    List(String),
    /// The same name twice.
    #[error("duplicate node {0}: use each name once")]
    Twice(String),
    /// No node, or too many.
    #[error("invalid number of nodes {0}: use 1 to {MAX_NODES}")]
    Count(usize),
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    /// Its number. The host is 0.
    pub index: u8,
    /// Where it runs.
    pub place: Place,
}

/// Where a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// On this machine and its kernel.
    Host,
    /// In a virtual machine.
    Vm {
        /// The kernel's `lsm=` parameter. Without it the kernel takes its built-in list.
        lsm: Option<String>,
    },
}

impl Node {
    /// The node's address.
    pub fn address(&self) -> Ipv4Addr {
        match self.place {
            Place::Host => GATEWAY,
            Place::Vm { .. } => Ipv4Addr::new(10, 77, 0, FIRST_VM + self.index),
        }
    }

    /// The addresses of its pods.
    pub fn pods(&self) -> String {
        format!("10.88.{}.0/24", self.index)
    }

    /// The name of the virtual machine's network interface on this side, at most 15 characters.
    pub fn tap(&self) -> String {
        format!("tap{}", self.index)
    }

    /// Whether it is a virtual machine.
    pub fn is_vm(&self) -> bool {
        matches!(self.place, Place::Vm { .. })
    }
}

/// Parses the nodes of a cluster.
pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Vec<Node>, Error> {
    let mut nodes: Vec<Node> = Vec::new();
    for word in words {
        let (name, place) = parse_one(word)?;
        if nodes.iter().any(|node| node.name == name) {
            return Err(Error::Twice(name));
        }
        let index = if place == Place::Host {
            0
        } else {
            1 + nodes.iter().filter(|node| node.is_vm()).count()
        };
        let index = u8::try_from(index).map_err(|_| Error::Count(index))?;
        nodes.push(Node { name, index, place });
    }
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        Err(Error::Count(nodes.len()))
    } else {
        Ok(nodes)
    }
}

fn parse_one(word: &str) -> Result<(String, Place), Error> {
    if word == "host" {
        return Ok((word.to_owned(), Place::Host));
    }
    let vm = word.strip_prefix("vm:").ok_or_else(|| Error::Form(word.to_owned()))?;
    let (name, lsm) = match vm.split_once('=') {
        Some((name, list)) => (name, lsm_list(list)?),
        None if vm == "lsm" => (vm, Some(LSM_LIST.to_owned())),
        None if vm == "nolsm" => (vm, Some(LSM_LIST.replace(",bpf", ""))),
        None => return Err(Error::Form(word.to_owned())),
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 50 || !name.chars().all(plain) || name.ends_with('-') {
        return Err(Error::Name(name.to_owned()));
    }
    Ok((format!("vm-{name}"), Place::Vm { lsm }))
}

/// An `lsm=` list. `default` means none: the kernel takes its built-in list.
pub fn lsm_list(list: &str) -> Result<Option<String>, Error> {
    if list == "default" {
        return Ok(None);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ',');
    if list.is_empty() || !list.chars().all(plain) {
        return Err(Error::List(list.to_owned()));
    }
    Ok(Some(list.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_three_nodes_have_fixed_addresses_and_lists() {
        let nodes = parse(["host", "vm:lsm", "vm:nolsm"]).unwrap();
        let listed: Vec<_> =
            nodes.iter().map(|n| (n.name.as_str(), n.address().to_string(), n.pods())).collect();
        assert_eq!(
            listed,
            [
                ("host", "10.77.0.1".to_owned(), "10.88.0.0/24".to_owned()),
                ("vm-lsm", "10.77.0.11".to_owned(), "10.88.1.0/24".to_owned()),
                ("vm-nolsm", "10.77.0.12".to_owned(), "10.88.2.0/24".to_owned()),
            ]
        );
        let lists: Vec<_> = nodes.into_iter().map(|node| node.place).collect();
        let vm = |list: &str| Place::Vm { lsm: Some(list.to_owned()) };
        assert_eq!(
            lists,
            [
                Place::Host,
                vm("landlock,lockdown,yama,integrity,bpf"),
                vm("landlock,lockdown,yama,integrity")
            ]
        );
    }

    #[test]
    fn a_node_can_have_any_list_or_the_kernels_own() {
        let nodes = parse(["vm:typo=landlock,bfp", "vm:own=default"]).unwrap();
        assert_eq!(nodes[0].place, Place::Vm { lsm: Some("landlock,bfp".to_owned()) });
        assert_eq!(nodes[1].place, Place::Vm { lsm: None });
    }

    #[test]
    fn invalid_descriptions_are_refused() {
        assert_eq!(parse([]), Err(Error::Count(0)));
        assert_eq!(parse(["lsm"]), Err(Error::Form("lsm".to_owned())));
        assert_eq!(parse(["vm:other"]), Err(Error::Form("vm:other".to_owned())));
        assert_eq!(parse(["vm:A=bpf"]), Err(Error::Name("A".to_owned())));
        assert_eq!(parse(["vm:a=bpf root=x"]), Err(Error::List("bpf root=x".to_owned())));
        assert_eq!(parse(["host", "host"]), Err(Error::Twice("host".to_owned())));
    }
}
