//! The few of many that are named: the first in order, so that equal clusters are told of in equal words, whatever the
//! order in which they are counted.

/// How many are named.
pub const SAMPLE: usize = 3;

/// Puts an item in its place among the first ones, of which [`SAMPLE`] stay; returns the place.
pub fn add<T>(first: &mut Vec<T>, item: T, is_before: impl Fn(&T, &T) -> bool) -> usize {
    let place = first.partition_point(|other| is_before(other, &item));
    first.insert(place, item);
    first.truncate(SAMPLE);
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stay_in_whatever_order_they_come() {
        for items in [["d", "b", "a", "c"], ["a", "b", "c", "d"], ["d", "c", "b", "a"]] {
            let mut first = Vec::new();
            for item in items {
                add(&mut first, item, |a, b| a < b);
            }
            assert_eq!(first, ["a", "b", "c"]);
        }
        assert_eq!(add(&mut vec!["a", "c"], "b", |a, b| a < b), 1);
    }
}
