//! Whatever a machine says and whatever the canary answers: the API server accepts the report, its
//! texts are printable, and its checks agree with its evidence.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use kube::CustomResourceExt as _;
use lsm_ready_crds::LsmNode;
use lsm_ready_crds::consistency::{contradiction, gap};
use proptest::prelude::*;
use regex::Regex;
use serde_json::Value;

use super::*;
use crate::canary::{CanaryResult, End, Failure, FailureKind, Step};
use crate::facts::tests::raw;
use crate::facts::{Raw, Unread};
use crate::sys::Answer;

/// A text that somebody may have put there: escape sequences, reordering characters, very long
/// lines, and words that the parsers look for.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        Just("\u{1b}]0;root\u{7}\u{202e}\u{0}\r\n".to_owned()),
        "(lsm=|bpf|lockdown|confidentiality|integrity|,|=|ID=|PRETTY_NAME=| ){1,12}",
        (1..3000usize).prop_map(|length| "é".repeat(length)),
        (1..90usize).prop_map(|names| "some_lsm,".repeat(names)),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn read() -> impl Strategy<Value = Result<String, Unread>> {
    let unread = (any::<bool>(), hostile());
    prop_oneof![
        hostile().prop_map(Ok),
        unread.prop_map(|(missing, message)| Err(Unread { missing, message })),
    ]
}

prop_compose! {
    fn machine()(
        (release, arch) in (hostile(), hostile()),
        (boot_id, cmdline, lsm_file, securityfs) in (read(), read(), read(), read()),
        (lockdown, mountinfo, status, os_release) in (read(), read(), read(), read()),
        ids in prop::option::of(prop::collection::vec(any::<u64>(), 0..90)),
        vendor in read(),
    ) -> Raw {
        Raw {
            kernel: Kernel { release, machine: arch },
            lsm_ids: ids.ok_or(Answer(libc::ENOSYS)),
            boot_id, cmdline, lsm_file, securityfs, lockdown, mountinfo, status, os_release,
            sys_vendor: vendor,
            ..raw()
        }
    }
}

fn step() -> impl Strategy<Value = Option<Step>> {
    let kinds = vec![
        FailureKind::BtfUnreadable,
        FailureKind::BtfInvalid,
        FailureKind::HookNotInBtf,
        FailureKind::Map,
        FailureKind::Program,
        FailureKind::Other,
    ];
    let failure = (prop::sample::select(kinds), any::<Option<u8>>(), hostile(), hostile());
    let failure = failure.prop_map(|(kind, errno, message, verifier_log)| Failure {
        kind,
        errno: errno.map(i32::from),
        message,
        verifier_log,
    });
    prop_oneof![
        6 => Just(Some(Ok(()))),
        2 => failure.prop_map(|failure| Some(Err(failure))),
        1 => Just(None),
    ]
}

fn answer(right: i32) -> impl Strategy<Value = Option<Answer>> {
    prop_oneof![6 => Just(Some(Answer(right))), 1 => any::<Option<i16>>()
        .prop_map(|errno| errno.map(|errno| Answer(i32::from(errno))))]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        6 => Just(End::Finished),
        1 => any::<i32>().prop_map(End::Signal),
        1 => any::<i32>().prop_map(End::Exit),
        1 => any::<u64>().prop_map(End::TimedOut),
        1 => hostile().prop_map(End::NotStarted),
    ]
}

prop_compose! {
    fn canary()(
        (btf, maps, load, attach, plain_load) in (step(), step(), step(), step(), step()),
        before in answer(libc::EINVAL),
        ours in answer(libc::EKEYREJECTED),
        wrong_nonce in answer(libc::EINVAL),
        after in answer(libc::EINVAL),
        fired in prop::option::weighted(0.9, 0..2u64),
        end in end(),
    ) -> Observed {
        let result = CanaryResult {
            bpf_call: Some(Answer(libc::EINVAL)),
            before, btf, maps, load, attach, ours, wrong_nonce, fired, after, plain_load,
            ..CanaryResult::default()
        };
        Observed { result, end }
    }
}

/// The schema of the status, as the CRD has it.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd = serde_json::to_value(LsmNode::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["status"].clone()
});

thread_local! {
    /// The patterns of the schema. To compile one takes longer than all else of a case.
    static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::default();
}

fn matches(text: &str, pattern: &str) -> bool {
    PATTERNS.with_borrow_mut(|known| {
        let compile = || Regex::new(pattern).unwrap();
        known.entry(pattern.to_owned()).or_insert_with(compile).is_match(text)
    })
}

/// Where the value does not have the schema. Knows the keywords that the CRD uses, except CEL
/// rules.
fn misfits(value: &Value, schema: &Value, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let limit = |name: &str| schema[name].as_u64().and_then(|limit| usize::try_from(limit).ok());
    let exceeds = |size: usize, max: &str| limit(max).is_some_and(|max| size > max);
    let is_allowed = schema["enum"].as_array().is_none_or(|values| values.contains(value));
    match value {
        _ if !is_allowed => wrong.push(format!("{at}: {value} is none of {}", schema["enum"])),
        Value::String(text) => {
            let pattern = schema["pattern"].as_str();
            let size = text.chars().count();
            if exceeds(size, "maxLength")
                || limit("minLength").is_some_and(|min| size < min)
                || pattern.is_some_and(|pattern| !matches(text, pattern))
            {
                wrong.push(format!("{at}: {text:?} does not fit {schema}"));
            }
        }
        Value::Array(items) => {
            if exceeds(items.len(), "maxItems") {
                wrong.push(format!("{at}: {} items", items.len()));
            }
            let each = items.iter().flat_map(|item| misfits(item, &schema["items"], at));
            wrong.extend(each);
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                match schema["properties"].get(name) {
                    Some(schema) => wrong.extend(misfits(field, schema, &format!("{at}.{name}"))),
                    None => wrong.push(format!("{at}.{name}: not in the schema")),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    wrong
}

fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

proptest! {
    #[test]
    fn every_report_fits_the_schema_and_is_printable_and_consistent(
        machine in machine(), observed in canary(),
    ) {
        let report = Report::of(&observed, &Facts::of(&machine), Duration::ZERO);
        let status = report.into_status();
        let json = serde_json::to_value(&status).unwrap();
        let wrong = misfits(&json, &SCHEMA, "status");
        prop_assert!(wrong.is_empty(), "{wrong:#?}");
        let mut found = Vec::new();
        texts(&json, &mut found);
        for text in found {
            prop_assert_eq!(bounds::printable(text), text);
        }
        prop_assert_eq!(contradiction(&status).or_else(|| gap(&status)), None);
    }
}

#[test]
fn the_schema_check_finds_what_the_api_server_refuses() {
    let long = serde_json::json!({"bootID": "b".repeat(5000), "evidence": "Much", "frob": 1});
    assert_eq!(misfits(&long, &SCHEMA, "status").len(), 3);
}
