//! Builds HTML so that no text from outside can become markup: markup is `&'static str`, which only
//! the program itself has, and every other text is escaped.

use std::fmt::Write as _;

use lsm_ready_crds::State;
use lsm_ready_crds::text::printable;

/// Longer texts are cut. No text of our own CRDs is longer.
const MAX_CHARS: usize = 4096;

/// HTML.
#[derive(Debug, Default)]
pub struct Markup(String);

impl Markup {
    /// Markup of the program itself.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text, for content and for attributes in quotes.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for letter in printable(text, MAX_CHARS).chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                _ => self.0.push(letter),
            }
        }
        self
    }

    /// A text of the program in which code is between backticks.
    pub fn with_code(&mut self, text: &'static str) -> &mut Self {
        for (index, piece) in text.split('`').enumerate() {
            if index % 2 == 0 {
                self.text(piece);
            } else {
                self.raw("<code>").text(piece).raw("</code>");
            }
        }
        self
    }

    /// A text as the value of a parameter in an address.
    pub fn parameter(&mut self, text: &str) -> &mut Self {
        for byte in printable(text, MAX_CHARS).bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    self.0.push(char::from(byte));
                }
                // Writing to a String cannot fail.
                _ => write!(self.0, "%{byte:02X}").unwrap_or_default(),
            }
        }
        self
    }

    /// A number with commas between thousands.
    pub fn number(&mut self, number: usize) -> &mut Self {
        self.0.push_str(&with_commas(number));
        self
    }

    /// A number of thousandths as a percentage: 125 is 12.5%.
    pub fn per_mille(&mut self, share: usize) -> &mut Self {
        write!(self.0, "{}.{}%", share / 10, share % 10).unwrap_or_default();
        self
    }

    /// The name of the state as a class of the style sheet.
    pub fn class(&mut self, state: State) -> &mut Self {
        self.raw(match state {
            State::Ready => "ready",
            State::NotReady => "not-ready",
            State::Unknown => "unknown",
        })
    }

    /// JSON for a `<script type="application/json">`. Outside of its texts, JSON has none of the
    /// letters that are escaped.
    pub fn json(&mut self, json: &str) -> &mut Self {
        for letter in json.chars() {
            match letter {
                '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' => {
                    write!(self.0, "\\u{:04x}", u32::from(letter)).unwrap_or_default();
                }
                _ => self.0.push(letter),
            }
        }
        self
    }

    /// Markup that was built in the same way.
    pub fn add(&mut self, markup: &Self) -> &mut Self {
        self.0.push_str(&markup.0);
        self
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

pub fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
