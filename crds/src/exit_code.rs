//! The exit codes that every command shares: `node-probe` and the kubectl plugin.

use crate::State;

/// The exit code of a command, for scripts that act on its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum ExitCode {
    /// The answer is yes: the node is ready, or the policies load.
    Holds = 0,
    /// The answer is no, and the command has shown why.
    DoesNotHold = 1,
    /// The command could not find out, for example because it lacks a permission.
    CannotBeJudged = 2,
    /// The command line is invalid.
    WrongUse = 64,
}

impl ExitCode {
    /// Every exit code, in the order of the documentation.
    pub const ALL: [Self; 4] =
        [Self::Holds, Self::DoesNotHold, Self::CannotBeJudged, Self::WrongUse];

    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// A sentence for help texts and documentation.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Holds => "What was asked for holds.",
            Self::DoesNotHold => "What was asked for does not hold.",
            Self::CannotBeJudged => "It could not be found out whether it holds.",
            Self::WrongUse => "The command line is invalid.",
        }
    }
}

impl From<State> for ExitCode {
    fn from(state: State) -> Self {
        match state {
            State::Ready => Self::Holds,
            State::NotReady => Self::DoesNotHold,
            State::Unknown => Self::CannotBeJudged,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_exit_code() {
        let codes = [State::Ready, State::NotReady, State::Unknown]
            .map(|state| ExitCode::from(state).code());
        assert_eq!(codes, [0, 1, 2]);
        assert_eq!(ExitCode::ALL.map(ExitCode::code), [0, 1, 2, 64]);
    }
}
