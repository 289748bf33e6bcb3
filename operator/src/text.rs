//! Words of others, made fit for a status.

/// The text, of which at most `longest` characters stay; what was cut off shows as one more, `…`.
pub fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
