//! What the API server counts of its requests. In: its page of metrics. Out: how many requests of
//! which verb there were to our kinds, and how many it refused. Pure, but for reading the page.

use std::collections::BTreeMap;

use http::Request;
use kube::Client;
use serde::Serialize;

use crate::Failure;

const REQUESTS: &str = "apiserver_request_total{";

/// Requests by their verb, for example `GET`, `WATCH`, `PUT`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Requests {
    pub by_verb: BTreeMap<String, u64>,
    /// Answered with 429: the server had no seat for them.
    pub throttled: u64,
    /// Answered with 409: somebody else was first.
    pub conflicts: u64,
}

impl Requests {
    /// Reads the counters.
    pub async fn read(client: &Client, resources: &[&str]) -> Result<Self, Failure> {
        let page = client.request_text(Request::get("/metrics").body(Vec::new())?).await?;
        Ok(Self::parse(&page, resources))
    }

    fn parse(page: &str, resources: &[&str]) -> Self {
        let mut all = Self::default();
        for line in page.lines().filter(|line| line.starts_with(REQUESTS)) {
            let Some((labels, value)) = line.rsplit_once(' ') else { continue };
            let label = |name: &str| {
                let after = labels.split_once(&format!("{name}=\""))?.1;
                after.split_once('"').map(|(value, _)| value)
            };
            let is_ours = label("resource").is_some_and(|found| resources.contains(&found));
            let (Some(verb), Ok(value)) = (label("verb"), value.parse::<f64>()) else { continue };
            if !is_ours {
                continue;
            }
            let value = whole(value);
            *all.by_verb.entry(verb.to_owned()).or_default() += value;
            match label("code") {
                Some("429") => all.throttled += value,
                Some("409") => all.conflicts += value,
                _ => {}
            }
        }
        all
    }

    /// What was added since.
    pub fn since(&self, before: &Self) -> Self {
        let by_verb = self.by_verb.iter().map(|(verb, count)| {
            let then = before.by_verb.get(verb).copied().unwrap_or_default();
            (verb.clone(), count.saturating_sub(then))
        });
        Self {
            by_verb: by_verb.filter(|(_, count)| *count > 0).collect(),
            throttled: self.throttled.saturating_sub(before.throttled),
            conflicts: self.conflicts.saturating_sub(before.conflicts),
        }
    }

    /// The requests of these verbs.
    pub fn of(&self, verbs: &[&str]) -> u64 {
        verbs.iter().filter_map(|verb| self.by_verb.get(*verb)).sum()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",resource="lsmnodes",verb="GET"} 7
apiserver_request_total{code="409",component="apiserver",resource="lsmnodes",verb="PUT"} 2
apiserver_request_total{code="429",component="apiserver",resource="lsmnodes",verb="PUT"} 1e+00
apiserver_request_total{code="200",component="apiserver",resource="leases",verb="PUT"} 9
"#;

    #[test]
    fn requests_to_our_kinds_are_counted_by_verb() {
        let all = Requests::parse(PAGE, &["lsmnodes"]);
        assert_eq!((all.of(&["GET"]), all.of(&["PUT", "GET"])), (7, 10));
        assert_eq!((all.throttled, all.conflicts), (1, 2));
    }

    #[test]
    fn only_what_was_added_counts() {
        let all = Requests::parse(PAGE, &["lsmnodes"]);
        assert_eq!(all.since(&all), Requests::default());
        assert_eq!(all.since(&Requests::default()), all);
    }
}
