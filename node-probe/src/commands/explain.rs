//! `node-probe explain`: what a reason means and what to do about it.
//!
//! In: a code, or none. Out: the texts of that reason, or all codes with a line each. For an
//! unknown code: the most similar codes.

use std::io::{self, Write};

use lsm_ready_crds::{ExitCode, Reason};

use crate::report::text;

/// Prints the explanation of one reason, or the list of all.
pub fn main(code: Option<&str>) -> ExitCode {
    let text = match code.map_or_else(|| Ok(list()), explain) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("node-probe: {error}");
            return ExitCode::WrongUse;
        }
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::Holds,
        Err(error) => {
            eprintln!("node-probe: cannot write the explanation: {error}");
            ExitCode::CannotBeJudged
        }
    }
}

/// All codes, a line each.
pub fn list() -> String {
    let widest = Reason::ALL.iter().map(|reason| reason.code().len()).max().unwrap_or_default();
    Reason::ALL
        .iter()
        .map(|reason| format!("{:widest$}  {}", reason.code(), reason.meaning()) + "\n")
        .collect()
}

/// The explanation of one reason. An unknown code is an error that names similar codes.
pub fn explain(code: &str) -> Result<String, String> {
    let Some(reason) = Reason::from_code(code) else {
        return Err(unknown(code));
    };
    let paragraphs = [
        ("What it means", reason.meaning()),
        ("How to tell it apart", reason.distinguish()),
        ("What to do", reason.remedy()),
    ];
    let mut lines = vec![format!("{reason}: the node is {}", reason.node_is())];
    for (title, paragraph) in paragraphs {
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(text::wrapped(paragraph));
    }
    Ok(lines.join("\n") + "\n")
}

fn unknown(code: &str) -> String {
    let code: String = code.chars().take(64).collect();
    let nearest: Vec<&str> = Reason::nearest(&code).into_iter().map(Reason::code).collect();
    let hint = if nearest.is_empty() {
        String::new()
    } else {
        format!(" Did you mean {}?", nearest.join(" or "))
    };
    format!("unknown reason {code:?}.{hint} To list all reasons, run: node-probe explain")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_code_is_listed_and_explained() {
        let list = list();
        assert_eq!(list.lines().count(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(list.contains(&format!("{reason} ")), "{reason}");
            let text = explain(reason.code()).unwrap();
            assert!(
                text.starts_with(&format!("{reason}: the node is "))
                    && text.contains("What to do\n  "),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_code_is_answered_with_similar_codes() {
        let error = explain("BpfNotInLsmLst").unwrap_err();
        assert!(error.contains("Did you mean BpfNotInLsmList"), "{error}");
        assert!(!explain("zzzzzzzzzzzz").unwrap_err().contains("Did you mean"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<Vec<u8>>()) {
            prop_assert!(explain(&String::from_utf8_lossy(&text)).is_err());
        }
    }
}
