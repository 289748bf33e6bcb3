//! A set of nodes for a message: their number, and the first names.

use std::fmt;

use lsm_ready_crds::first_n::{self, MAX_ITEMS};

/// The number of nodes, and the first names in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeNames {
    count: usize,
    first: Vec<String>,
}

impl NodeNames {
    /// Adds a node that is not in the set yet.
    pub fn add(&mut self, node: &str) {
        self.count += 1;
        first_n::insert(&mut self.first, node.to_owned(), |a, b| a < b);
    }

    /// Adds nodes that are not in the set yet.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for node in &other.first {
            first_n::insert(&mut self.first, node.clone(), |a, b| a < b);
        }
    }

    pub const fn count(&self) -> usize {
        self.count
    }

    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first name in order.
    pub fn first(&self) -> Option<&str> {
        self.first.first().map(String::as_str)
    }
}

impl fmt::Display for NodeNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.first.join(", ");
        match self.count {
            0 => f.write_str("no node"),
            1 => write!(f, "{names}"),
            count if count <= MAX_ITEMS => write!(f, "{count} nodes ({names})"),
            count => write!(f, "{count} nodes ({names}, …)"),
        }
    }
}
