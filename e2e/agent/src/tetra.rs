//! The client: `tetra tracingpolicy list` for the agent in the same container.
//!
//! In: an address. Out: the policies, as a table or as JSON in the protocol's own names.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::config::{SERVER_ADDRESS, from_file};
use crate::messages::{
    ListTracingPoliciesRequest, ListTracingPoliciesResponse, TracingPolicyStatus,
};
use crate::service::LIST_TRACING_POLICIES;

/// The folder where the chart mounts the configuration in the agent's container.
const CONFIG_DIR: &str = "/etc/tetragon/tetragon.conf.d";

/// Asks an agent for its policies.
#[derive(Parser)]
#[command(name = "tetra")]
pub struct Cli {
    /// HOST:PORT or unix://PATH; without it, the address of the agent in this container.
    #[arg(long, global = true)]
    server_address: Option<String>,
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// The policies.
    #[command(subcommand, name = "tracingpolicy", alias = "tp")]
    TracingPolicy(Verb),
}

#[derive(Subcommand)]
enum Verb {
    /// Lists the policies with their states.
    List(List),
}

#[derive(Args)]
struct List {
    /// The form of the list.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Text,
}

pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Subject::TracingPolicy(Verb::List(List { output })) = cli.subject;
    let address = match cli.server_address {
        Some(address) => Some(address),
        None => from_file(Some(Path::new(CONFIG_DIR)), SERVER_ADDRESS)?,
    };
    let policies = list(address.as_deref().unwrap_or("localhost:54321")).await?;
    println!(
        "{}",
        if output == Output::Json { as_json(&policies).to_string() } else { as_text(&policies) }
    );
    Ok(ExitCode::SUCCESS)
}

/// The policies of the agent at an address.
pub async fn list(address: &str) -> anyhow::Result<Vec<TracingPolicyStatus>> {
    let uri =
        if address.starts_with("unix:") { address.to_owned() } else { format!("http://{address}") };
    let channel = Endpoint::from_shared(uri)?
        .connect()
        .await
        .with_context(|| format!("connect to {address}"))?;
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let (request, path) =
        (ListTracingPoliciesRequest {}, PathAndQuery::from_static(LIST_TRACING_POLICIES));
    let codec = ProstCodec::<ListTracingPoliciesRequest, ListTracingPoliciesResponse>::default();
    let response = client.unary(tonic::Request::new(request), path, codec).await;
    Ok(response.with_context(|| format!("list the policies at {address}"))?.into_inner().policies)
}

/// The JSON of Protocol Buffers: 64-bit numbers are strings, and fields with their default value
/// are left out.
fn as_json(policies: &[TracingPolicyStatus]) -> Value {
    let one = |policy: &TracingPolicyStatus| {
        let mut object = json!({"id": policy.id.to_string(), "name": policy.name, "state": policy.state().name()});
        if policy.enabled {
            object["enabled"] = json!(true);
        }
        if !policy.sensors.is_empty() {
            object["sensors"] = json!(policy.sensors);
        }
        let texts = [
            ("namespace", &policy.namespace),
            ("error", &policy.error),
            ("domain", &policy.domain),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            object[name] = json!(text);
        }
        if policy.mode != 0 {
            object["mode"] = json!(policy.mode().name());
        }
        object
    };
    json!({"policies": policies.iter().map(one).collect::<Vec<_>>()})
}

fn as_text(policies: &[TracingPolicyStatus]) -> String {
    let mut lines = vec![format!("{:<4} {:<24} {:<20} {}", "ID", "NAME", "STATE", "ERROR")];
    lines.extend(policies.iter().map(|policy| {
        format!(
            "{:<4} {:<24} {:<20} {}",
            policy.id,
            policy.name,
            policy.state().name(),
            policy.error
        )
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_names_of_the_protocol() {
        let monitoring = TracingPolicyStatus {
            id: 4,
            name: "q".into(),
            state: 1,
            mode: 2,
            ..Default::default()
        };
        let expected = json!({"policies": [
            {"id": "4", "name": "q", "state": "TP_STATE_ENABLED", "mode": "TP_MODE_MONITOR"}]});
        assert_eq!(as_json(&[monitoring]), expected);
        let refused = TracingPolicyStatus {
            id: 3,
            name: "p".into(),
            state: 3,
            error: "no".into(),
            ..Default::default()
        };
        let expected = json!({"policies": [{"id": "3", "name": "p", "state": "TP_STATE_LOAD_ERROR", "error": "no"}]});
        assert_eq!(as_json(std::slice::from_ref(&refused)), expected);
        assert!(as_text(&[refused]).ends_with("TP_STATE_LOAD_ERROR  no"));
    }
}
