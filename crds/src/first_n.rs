//! Keeps the first few items in sort order, so that the same cluster state always yields the same
//! message.

/// How many items are kept, and so how many names a message lists.
pub const MAX_ITEMS: usize = 3;

/// Inserts an item at its place in the sorted list and drops what exceeds [`MAX_ITEMS`]. Returns
/// the place.
pub fn insert<T>(first: &mut Vec<T>, item: T, is_before: impl Fn(&T, &T) -> bool) -> usize {
    let place = first.partition_point(|other| is_before(other, &item));
    first.insert(place, item);
    first.truncate(MAX_ITEMS);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_are_kept_whatever_the_order_of_insertion() {
        for items in [["d", "b", "a", "c"], ["a", "b", "c", "d"], ["d", "c", "b", "a"]] {
            let mut first = Vec::new();
            for item in items {
                insert(&mut first, item, |a, b| a < b);
            }
            assert_eq!(first, ["a", "b", "c"]);
        }
        assert_eq!(insert(&mut vec!["a", "c"], "b", |a, b| a < b), 1);
    }
}
