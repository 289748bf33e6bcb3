//! Functions for messages: they shorten a text, make it printable, and suggest a name for a
//! mistyped one.

use std::fmt::Write as _;

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

/// The text as it may be shown on a terminal, in a condition or in a log, of at most `max_chars`
/// characters. Each unprintable character is replaced by one that can be seen:
///
/// - the end of a line (`\n`, `\r`, U+0085, U+2028, U+2029) by `⏎`;
/// - a tab and any other blank by a space;
/// - everything else by `\u{fffd}`: control characters such as the escape of a terminal's commands,
///   marks for the direction of text, characters without width, combining characters, private and
///   unassigned characters. Most of these could hide text, reorder it, or change a terminal.
///
/// A text that is printable and short enough does not change.
#[must_use]
pub fn printable(text: &str, max_chars: usize) -> String {
    truncate(text, max_chars).chars().map(visible).collect()
}

/// Like [`printable`], but the end of a line `\n` stays, for texts of several lines.
#[must_use]
pub fn printable_lines(text: &str, max_chars: usize) -> String {
    let keep = |letter| if letter == '\n' { letter } else { visible(letter) };
    truncate(text, max_chars).chars().map(keep).collect()
}

/// JSON in which every unprintable character of a text is an escape, such as `\u202e`. What the
/// JSON says does not change.
#[must_use]
pub fn printable_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        // Outside of texts, JSON has no other unprintable character than the end of a line.
        if letter == '\n' || is_printable(letter) {
            escaped.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                write!(escaped, "\\u{unit:04x}").ok();
            }
        }
    }
    escaped
}

fn visible(letter: char) -> char {
    match letter {
        '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => '⏎',
        _ if is_printable(letter) => letter,
        _ if letter.is_whitespace() => ' ',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// Whether the character is visible by itself, a space included. The standard library's tables say
/// so: `{:?}` escapes every character of the Unicode categories C and Z but the space, and every
/// character that extends the one before. The letters here are blank, although their category is
/// that of letters.
#[must_use]
pub fn is_printable(letter: char) -> bool {
    const BLANK: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];
    let is_escaped = letter.escape_debug().len() > 1 && !['\\', '"', '\''].contains(&letter);
    !is_escaped && !BLANK.contains(&letter)
}

/// Whether the text is a code of a reason: letters and digits, beginning with a letter, at most 64.
#[must_use]
pub fn is_code(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
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

    #[test]
    fn what_cannot_be_seen_is_replaced_by_what_can() {
        for (text, shown) in [
            ("plain text, \"quoted\", it's a \\ häuser … ⏎ \u{fffd}", ""),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", "\u{fffd}[2J\u{fffd}]0;title\u{fffd}"),
            ("a\r\nb\u{85}c\u{2028}d\u{2029}e\u{b}f\u{c}g", "a⏎⏎b⏎c⏎d⏎e f g"),
            ("a\tb\u{a0}c\u{3000}d\u{2009}e", "a b c d e"),
            // Right-to-left override, isolates, Arabic letter mark.
            ("\u{202e}x\u{2066}y\u{2069}\u{61c}", "\u{fffd}x\u{fffd}y\u{fffd}\u{fffd}"),
            // Without width: space, joiner, no-break space, soft hyphen, variation selector.
            ("\u{200b}\u{200d}\u{feff}\u{ad}\u{fe0f}", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            // A tag character, a private one, one that is unassigned, a combining one.
            ("\u{e0041}\u{e000}\u{378}a\u{301}", "\u{fffd}\u{fffd}\u{fffd}a\u{fffd}"),
            ("\u{0}\u{7f}\u{9b}31m", "\u{fffd}\u{fffd}\u{fffd}31m"),
            ("\u{3164}\u{2800}", "\u{fffd}\u{fffd}"),
        ] {
            let shown = if shown.is_empty() { text } else { shown };
            assert_eq!(printable(text, 100), shown, "{text:?}");
        }
        assert_eq!(printable("a\u{1b}bcd", 3), "a\u{fffd}…");
    }

    #[test]
    fn json_says_the_same_after_its_texts_were_escaped() {
        let value = serde_json::json!({"a\u{9b}": ["\u{202e}\u{e0041}", "\u{7f}é\n\t\u{0}"]});
        let printed = printable_json(&format!("{value:#}"));
        assert!(printed.contains(r"\u202e\udb40\udc41") && printed.contains(r"\u007fé\n\t\u0000"));
        assert!(printed.lines().all(|line| line.chars().all(is_printable)), "{printed}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    }

    #[test]
    fn lines_stay_in_texts_of_several_lines() {
        assert_eq!(printable_lines("a\r\nb\u{1b}[2J\n", 99), "a⏎\nb\u{fffd}[2J\n");
    }

    #[test]
    fn a_code_has_letters_and_digits_only() {
        let long = "R".repeat(64);
        for code in ["CanaryDenied", "a", "R2", &long] {
            assert!(is_code(code), "{code}");
        }
        let too_long = "R".repeat(65);
        for text in ["", "2R", "a b", "a-b", "a\n", "ä", "a\u{200b}", "\u{202e}R", &too_long] {
            assert!(!is_code(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_printable_text_is_bounded_and_stays_as_it_is(
            text in prop::collection::vec(any::<char>(), 0..40),
            max in 1usize..40,
        ) {
            let text: String = text.into_iter().collect();
            let shown = printable(&text, max);
            prop_assert_eq!(shown.chars().count(), text.chars().count().min(max));
            prop_assert!(shown.chars().all(is_printable), "{:?}", shown);
            prop_assert!(!shown.chars().any(char::is_control), "{:?}", shown);
            prop_assert_eq!(printable(&shown, max), shown);
        }

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
