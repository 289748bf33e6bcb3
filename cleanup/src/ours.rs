//! Which names are ours.

use lsm_ready_crds::names::{
    DOMAIN_PREFIX, NODE_CONDITION, NODE_LABEL_PREFIX, RETIRED_NODE_CONDITIONS, TAINT_KEYS,
};

/// Whose names count as ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Names {
    /// The names that this version writes. The admission policies for the operator know no others.
    OfThisVersion,
    /// Also retired names, and every name with a prefix of ours: what another version wrote.
    OfAnyVersion,
}

impl Names {
    /// Whether that key of a Node's label is ours.
    pub fn has_label(self, key: &str) -> bool {
        key.starts_with(NODE_LABEL_PREFIX) || self.has_prefix(key)
    }

    /// Whether that key of a taint is ours.
    pub fn has_taint(self, key: &str) -> bool {
        TAINT_KEYS.contains(&key) || self.has_prefix(key)
    }

    /// Whether that type of a Node's condition is ours.
    pub fn has_condition(self, type_: &str) -> bool {
        let retired = self == Self::OfAnyVersion && RETIRED_NODE_CONDITIONS.contains(&type_);
        type_ == NODE_CONDITION || retired || self.has_prefix(type_)
    }

    fn has_prefix(self, name: &str) -> bool {
        self == Self::OfAnyVersion && name.starts_with(DOMAIN_PREFIX)
    }
}

/// Whether that finalizer is ours.
pub fn is_finalizer(name: &str) -> bool {
    name.starts_with(DOMAIN_PREFIX)
}
