//! `node-probe explain`: what a reason means and what to do about it, for who has only the code.
//!
//! In: a code, or none. Out: its texts, or all codes with a line each; for an unknown code the nearest ones.

use std::io::{self, Write};
use std::process::ExitCode;

use lsm_ready_crds::Reason;

use crate::{exit, text};

/// Prints what there is to say.
pub fn main(code: Option<&str>) -> ExitCode {
    let said = match code.map_or_else(|| Ok(list()), explain) {
        Ok(said) => said,
        Err(unknown) => {
            eprintln!("node-probe: {unknown}");
            return ExitCode::from(exit::USAGE);
        }
    };
    match io::stdout().lock().write_all(said.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node-probe: cannot write: {error}");
            ExitCode::from(exit::UNTRIED)
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

/// The texts of one.
///
/// # Errors
/// With the nearest codes, where there is no such one.
pub fn explain(code: &str) -> Result<String, String> {
    let Some(reason) = Reason::from_code(code) else {
        return Err(unknown(code));
    };
    let paragraphs = [
        ("It means".to_owned(), reason.meaning()),
        ("It is told from its neighbours by this".to_owned(), reason.distinguish()),
        ("The way out".to_owned(), reason.remedy()),
    ];
    let mut lines = vec![format!("{reason}: the node is {}", reason.node_is())];
    for (title, paragraph) in paragraphs {
        lines.extend([String::new(), title]);
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
    format!("there is no reason {code:?}.{hint} All codes: node-probe explain")
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
            let said = explain(reason.code()).unwrap();
            assert!(
                said.starts_with(&format!("{reason}: the node is "))
                    && said.contains("The way out\n  "),
                "{said}"
            );
        }
    }

    #[test]
    fn an_unknown_code_is_answered_with_the_nearest() {
        let said = explain("BpfNotInLsmLst").unwrap_err();
        assert!(said.contains("Did you mean BpfNotInLsmList"), "{said}");
        assert!(!explain("zzzzzzzzzzzz").unwrap_err().contains("Did you mean"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<Vec<u8>>()) {
            prop_assert!(explain(&String::from_utf8_lossy(&text)).is_err());
        }
    }
}
