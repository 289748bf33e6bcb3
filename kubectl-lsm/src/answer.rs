//! What a command prints, and with which exit code it ends.

use lsm_ready_crds::ExitCode;

/// What a command prints.
pub struct Answer {
    /// For standard output.
    pub text: String,
    /// Sentences for standard error: what could not be read. The answer is about everything else.
    pub unread: Vec<String>,
    /// The exit code.
    pub code: ExitCode,
}

impl Answer {
    /// An answer to which nothing is missing.
    pub const fn complete(text: String, code: ExitCode) -> Self {
        Self { text, unread: Vec::new(), code }
    }
}
