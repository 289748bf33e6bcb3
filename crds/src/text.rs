//! Two functions for messages: they shorten a text, and suggest a name for a mistyped one.

use strsim::levenshtein;

/// Maximum number of names that [`nearest`] returns.
const MAX_NEAREST: usize = 3;

/// The text, shortened to at most `max_chars` characters. A shortened text ends with `…`, which
/// counts.
#[must_use]
pub fn truncate(text: &str, max_chars: usize) -> String {
    if text.chars().nth(max_chars).is_none() {
        return text.to_owned();
    }
    text.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect()
}

/// At most three known names that are similar to a mistyped one, the most similar first. Similar
/// means that a few letters differ, or that the known name contains the mistyped one.
#[must_use]
pub fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let letters = wanted.chars().count();
    let max_distance = (letters / 3).clamp(1, 4);
    let mut near: Vec<(usize, &str)> = known
        .map(|name| {
            let is_part = letters >= 4 && name.contains(wanted);
            // The distance is at least the difference in length, which is cheap to compute.
            let length_difference = name.chars().count().abs_diff(letters);
            let distance = if is_part {
                1
            } else if length_difference > max_distance {
                length_difference
            } else {
                distance(wanted, name)
            };
            (distance, name)
        })
        .filter(|(distance, _)| *distance <= max_distance)
        .collect();
    near.sort_unstable();
    near.truncate(MAX_NEAREST);
    near.into_iter().map(|(_, name)| name).collect()
}

/// The Levenshtein distance. Equal beginnings and ends do not count, and skipping them saves most
/// of the work.
fn distance(one: &str, other: &str) -> usize {
    let common = common_bytes(one.chars().zip(other.chars()));
    let (one, other) = (&one[common..], &other[common..]);
    let common = common_bytes(one.chars().rev().zip(other.chars().rev()));
    levenshtein(&one[..one.len() - common], &other[..other.len() - common])
}

/// The length of the equal pairs at the beginning.
fn common_bytes(pairs: impl Iterator<Item = (char, char)>) -> usize {
    pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_that_fits_is_not_changed() {
        assert_eq!(truncate("häuser", 6), "häuser");
        assert_eq!(truncate("häuser", 5), "häus…");
        assert_eq!(truncate("", 0), "");
    }

    proptest! {
        #[test]
        fn a_truncated_text_has_the_maximum_length(text in "\\PC{0,20}", max in 1usize..25) {
            let count = text.chars().count();
            prop_assert_eq!(truncate(&text, max).chars().count(), count.min(max));
        }

        #[test]
        fn the_distance_is_that_of_the_whole_names(one in "[abä]{0,8}", other in "[abä]{0,8}") {
            prop_assert_eq!(distance(&one, &other), levenshtein(&one, &other));
        }
    }
}
