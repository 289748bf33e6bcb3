//! What the store holds of most kinds.

/// The store holds objects of this kind as they are.
macro_rules! stored_as_it_is {
    () => {
        type Stored = Self;

        fn pack(&self) -> Self {
            self.clone()
        }

        fn unpack(stored: &Self) -> Self {
            stored.clone()
        }
    };
}
pub(super) use stored_as_it_is;
