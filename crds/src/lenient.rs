//! Reading what the schema lets through, or let through in an earlier version.
//!
//! In: a field as the API server stores it. Out: its value. The operator cannot act on an object
//! that it cannot read, not even on its deletion. So what can be understood is understood: a null
//! is an absent field, `1.0` is a whole number, and of a status only the readable parts count.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Numbers up to this are exact as a fraction: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A part of a spec. Nulls are absent fields, and whole numbers may be written as fractions.
///
/// # Errors
/// When the part is not of the type.
pub fn part<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    match plain(Value::deserialize(deserializer)?) {
        Value::Null => Ok(T::default()),
        value => serde_json::from_value(value).map_err(D::Error::custom),
    }
}

/// A label selector. A label without a value has the empty value, as in Kubernetes' own objects.
///
/// # Errors
/// When it is not a label selector.
pub fn selector<'de, D>(deserializer: D) -> Result<Option<LabelSelector>, D::Error>
where
    D: Deserializer<'de>,
{
    let mut value = Value::deserialize(deserializer)?;
    let labels = value.pointer_mut("/matchLabels").and_then(Value::as_object_mut);
    for label in labels.into_iter().flat_map(|labels| labels.values_mut()) {
        if label.is_null() {
            *label = Value::String(String::new());
        }
    }
    serde_json::from_value(plain(value)).map_err(D::Error::custom)
}

/// `minReady`. A number that no count of nodes can have is kept as a text, so that the status can
/// say what is invalid.
///
/// # Errors
/// When it is neither a number nor a text.
pub fn int_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IntOrString, D::Error> {
    match plain(Value::deserialize(deserializer)?) {
        Value::Null => Ok(IntOrString::String("100%".to_owned())),
        Value::String(text) => Ok(IntOrString::String(text)),
        Value::Number(number) => {
            let small = number.as_i64().and_then(|number| i32::try_from(number).ok());
            Ok(small.map_or_else(|| IntOrString::String(number.to_string()), IntOrString::Int))
        }
        other => Err(D::Error::custom(format!("expected a number or a text, not {other}"))),
    }
}

/// A number of things of which nobody has more than 2^31.
///
/// # Errors
/// When it is not a whole number.
pub fn at_most_i32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    match plain(Value::deserialize(deserializer)?) {
        Value::Null => Ok(None),
        Value::Number(number) if number.is_u64() || number.is_i64() => {
            // A number that does not fit i64 is a large one.
            let number = number.as_i64().unwrap_or(i64::MAX);
            Ok(Some(i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })))
        }
        other => Err(D::Error::custom(format!("expected a whole number, not {other}"))),
    }
}

/// A part of a status. What cannot be read is the default.
///
/// # Errors
/// Never.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = plain(Value::deserialize(deserializer)?);
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// The items of a list in a status that can be read.
///
/// # Errors
/// Never.
pub fn readable_items<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let Value::Array(items) = plain(Value::deserialize(deserializer)?) else {
        return Ok(Vec::new());
    };
    Ok(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect())
}

/// The value without fields that are null, and with whole numbers as such.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, plain(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53")]
            Some(fraction) if fraction.fract() == 0.0 && fraction.abs() <= EXACT => {
                Value::from(fraction as i64)
            }
            _ => Value::Number(number),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::policy::{LsmPolicySpec, LsmPolicyStatus};
    use crate::selection::{InvalidSpec, MinReady, Selection};
    use crate::{Evidence, LsmNodeStatus};

    fn spec(spec: serde_json::Value) -> LsmPolicySpec {
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn nulls_are_absent_fields() {
        let default = spec(json!({}));
        for nulls in [
            json!({"minReady": null, "nodeSelector": null, "taint": null, "tetragon": null}),
            json!({"require": null}),
            json!({"require": {"evidence": null, "lsms": null, "hooks": null, "kernelReads": null,
                "sleepableHooks": null, "tracingPolicies": null}}),
        ] {
            assert_eq!(spec(nulls.clone()), default, "{nulls}");
        }
        let named = spec(json!({"tetragon": {}}));
        for nulls in [
            json!({"restartStaleAgents": null, "maxConcurrent": null, "window": null}),
            json!({"daemonSet": {"namespace": null, "name": null}, "securityfs": {"mount": null}}),
        ] {
            assert_eq!(spec(json!({"tetragon": nulls})), named, "{nulls}");
        }
        let agents = json!({"ask": null, "port": null, "metricsPort": 7, "tls": null});
        let agents = spec(json!({"tetragon": {"agents": agents}})).tetragon.unwrap().agents;
        assert_eq!(agents.unwrap().metrics_port, Some(7));
        let selector = spec(json!({"nodeSelector": {"matchLabels": {"a": null}}}));
        let labels = |value: &str| [("a".to_owned(), value.to_owned())].into();
        let selection = Selection::of(&selector).unwrap();
        assert!(selection.selects(&labels("")) && !selection.selects(&labels("b")));
    }

    #[test]
    fn a_number_too_large_is_read_and_reported() {
        for (number, parsed) in [
            (json!(3.0), Ok(MinReady::Nodes(3))),
            (json!(2_147_483_647.0), Ok(MinReady::Nodes(2_147_483_647))),
            (json!(2_147_483_648u32), Err(InvalidSpec::MinReady("2147483648".into()))),
            (json!(1.5), Err(InvalidSpec::MinReady("1.5".into()))),
            (json!(u64::MAX), Err(InvalidSpec::MinReady(u64::MAX.to_string()))),
        ] {
            let read = spec(json!({"minReady": number}));
            assert_eq!(MinReady::parse(&read.min_ready), parsed);
        }
        let most = |number| spec(json!({"tetragon": {"maxConcurrent": number}})).tetragon.unwrap();
        assert_eq!(most(json!(2_147_483_648u32)).max_concurrent, Some(i32::MAX));
        assert_eq!(most(json!(u64::MAX)).max_concurrent, Some(i32::MAX));
        assert_eq!(most(json!(2.0)).max_concurrent, Some(2));
    }

    #[test]
    fn of_a_report_the_readable_parts_count() {
        let status: LsmNodeStatus = serde_json::from_value(json!({
            "bootID": "b", "evidence": "Proved", "observedTime": "2026-01-01T00:00:00ZT",
            "deniedSince": "9999-12-31T23:59:59Z", "lsms": null, "securityfs": "Elsewhere",
            "deniedBefore": [{"until": []}, {"until": "2026-01-01T00:00:00Z"}],
            "checks": [{"name": "Loaded", "outcome": "Perhaps"},
                {"name": "Btf", "outcome": "Pass"}],
        }))
        .unwrap();
        assert_eq!((status.boot_id.as_str(), status.evidence), ("b", Evidence::None));
        assert_eq!((&status.observed_time, &status.denied_since), (&None, &None));
        assert_eq!((status.denied_before.len(), status.checks.len()), (1, 1));
    }

    #[test]
    fn of_a_policys_status_the_readable_parts_count() {
        let condition = |time| {
            json!({"type": "Ready", "status": "True", "reason": "R", "message": "",
                "lastTransitionTime": time})
        };
        let conditions = [condition("+99:99"), condition("2026-01-01T00:00:00Z")];
        let status: LsmPolicyStatus = serde_json::from_value(json!({
            "conditions": conditions, "nodes": {"ready": 1.0}, "reasons": [{"count": "many"}],
            "observedGeneration": 2.0,
        }))
        .unwrap();
        assert_eq!((status.conditions.len(), status.reasons.len()), (1, 0));
        assert_eq!((status.nodes.ready, status.observed_generation), (1, Some(2)));
    }
}
