//! Makes text from an agent safe for a status and a terminal.
//!
//! This is not plain truncation: control characters and invisible characters go as well, and the
//! text becomes one line.

use lsm_ready_crds::text::is_printable;

/// Returns the text in one line of at most `max_chars` characters, without control characters and
/// without characters that reorder or hide the text beside them. A shortened text ends in `…`.
pub fn sanitize(text: &str, max_chars: usize) -> String {
    let mut line = String::new();
    let mut left = max_chars;
    for word in
        text.split(|c: char| c.is_whitespace() || !is_printable(c)).filter(|word| !word.is_empty())
    {
        for c in (!line.is_empty()).then_some(' ').into_iter().chain(word.chars()) {
            if left == 0 {
                line.pop();
                line.push('…');
                return line;
            }
            line.push(c);
            left -= 1;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_becomes_one_short_line_without_invisible_characters() {
        for (text, max_chars, expected) in [
            ("", 5, ""),
            ("two  words\n", 20, "two words"),
            ("\u{1b}[31mred\u{7}", 20, "[31mred"),
            ("a\u{202e}b\u{200b}c", 20, "a b c"),
            // An Arabic letter mark, a tag, a variation selector, a letter that is blank.
            ("a\u{61c}b\u{e0041}c\u{fe0f}d\u{3164}e", 20, "a b c d e"),
            ("12345", 5, "12345"),
            ("123456", 5, "1234…"),
            ("1234 6", 5, "1234…"),
            ("äöüß€", 4, "äöü…"),
        ] {
            assert_eq!(sanitize(text, max_chars), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_bounded_and_visible(text in ".{0,80}", max_chars in 1usize..40) {
            let line = sanitize(&text, max_chars);
            prop_assert!(line.chars().count() <= max_chars, "{line:?}");
            prop_assert!(line.chars().all(is_printable), "{line:?}");
            prop_assert_eq!(sanitize(&line, max_chars), line);
        }
    }
}
