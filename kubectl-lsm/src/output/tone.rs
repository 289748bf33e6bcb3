//! Colours. They are written always; the last step of printing removes them unless standard output
//! is a terminal and NO_COLOR is not set.

use anstyle::{AnsiColor, Style};
use lsm_ready_crds::State;

/// What a colour says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tone {
    #[default]
    Plain,
    Heading,
    Good,
    Bad,
    Doubtful,
}

impl Tone {
    /// The tone of a condition's status.
    pub fn of_status(status: &str) -> Self {
        match status {
            "True" => Self::Good,
            "False" => Self::Bad,
            _ => Self::Doubtful,
        }
    }

    /// The text in this tone.
    pub fn paint(self, text: &str) -> String {
        let style = match self {
            Self::Plain => return text.to_owned(),
            Self::Heading => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Doubtful => AnsiColor::Yellow.on_default(),
        };
        format!("{style}{text}{style:#}")
    }
}

impl From<State> for Tone {
    fn from(state: State) -> Self {
        match state {
            State::Ready => Self::Good,
            State::NotReady => Self::Bad,
            State::Unknown => Self::Doubtful,
        }
    }
}
