//! A set of nodes in the size that a message needs: how many, and the first of them by name.

use std::fmt;

use lsm_ready_crds::first_n::{self, MAX_ITEMS};

/// Source many nodes, and the first of them by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names {
    count: usize,
    first: Vec<String>,
}

impl Names {
    /// Adds a node, which is not among them yet.
    pub fn add(&mut self, node: &str) {
        self.count += 1;
        first_n::insert(&mut self.first, node.to_owned(), |a, b| a < b);
    }

    /// Adds nodes, none of which is among them yet.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for node in &other.first {
            first_n::insert(&mut self.first, node.clone(), |a, b| a < b);
        }
    }

    /// Source many.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// There is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first by name.
    pub fn first(&self) -> Option<&str> {
        self.first.first().map(String::as_str)
    }
}

impl fmt::Display for Names {
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
