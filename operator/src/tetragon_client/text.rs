//! Text from an agent, made safe to show in a status and on a terminal.

/// The text in one line of at most `longest` characters, without control characters and without characters that reorder
/// or hide the text beside them. A text that was cut ends in `…`.
pub fn clean(text: &str, longest: usize) -> String {
    let mut clean = String::new();
    let mut left = longest;
    for word in
        text.split(|c: char| c.is_whitespace() || is_invisible(c)).filter(|word| !word.is_empty())
    {
        for c in (!clean.is_empty()).then_some(' ').into_iter().chain(word.chars()) {
            if left == 0 {
                clean.pop();
                clean.push('…');
                return clean;
            }
            clean.push(c);
            left -= 1;
        }
    }
    clean
}

/// Cuts the text to at most that many bytes. A text that was cut ends in `…` where there is room for it.
pub fn cut(text: &mut String, bytes: usize) {
    const MARK: &str = "…";
    if text.len() <= bytes {
        return;
    }
    let room = bytes.checked_sub(MARK.len());
    text.truncate(text.floor_char_boundary(room.unwrap_or_default()));
    if room.is_some() {
        text.push_str(MARK);
    }
}

/// Control characters, and Unicode's marks for the direction and the joining of text (UAX #9; U+200B to U+200F, U+2028
/// to U+202E, U+2060 to U+206F, U+FEFF).
fn is_invisible(c: char) -> bool {
    let marks = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}'];
    c.is_control() || c == '\u{feff}' || marks.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        for (text, longest, expected) in [
            ("", 5, ""),
            ("two  words\n", 20, "two words"),
            ("\u{1b}[31mred\u{7}", 20, "[31mred"),
            ("a\u{202e}b\u{200b}c", 20, "a b c"),
            ("12345", 5, "12345"),
            ("123456", 5, "1234…"),
            ("1234 6", 5, "1234…"),
            ("äöüß€", 4, "äöü…"),
        ] {
            assert_eq!(clean(text, longest), expected, "{text:?}");
        }
    }

    #[test]
    fn a_cut_text_ends_between_characters() {
        for (bytes, expected) in [(0, ""), (2, ""), (3, "…"), (4, "…"), (5, "ä…"), (6, "ää")]
        {
            let text = if bytes == 6 { "ää" } else { "ääää" };
            let mut text = text.to_owned();
            cut(&mut text, bytes);
            assert_eq!(text, expected, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_bounded_and_visible(text in ".{0,80}", longest in 1usize..40) {
            let clean = clean(&text, longest);
            prop_assert!(clean.chars().count() <= longest, "{clean:?}");
            prop_assert!(!clean.chars().any(is_invisible), "{clean:?}");
            prop_assert_eq!(super::clean(&clean, longest), clean);
        }
    }
}
