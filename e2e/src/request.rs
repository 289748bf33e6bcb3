//! Requests to an API server as plain JSON, for tests that check its exact answers.
//!
//! In: a client, a verb, a path, a body. Out: the code, message and object of the answer.
//! [`kubectl`] is for what only it does: kustomize, waiting, and commands that a person would type.

use std::path::Path;
use std::process::Command;

use http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::command::{self, run};
use crate::paths;

/// A request without an answer, or with a refusal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be sent, or its answer cannot be read.
    #[error("{verb} {path}: {source}")]
    Unanswered {
        /// The verb.
        verb: String,
        /// The path.
        path: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request was refused.
    #[error("{verb} {path}: {code} {message}")]
    Refused {
        /// The verb.
        verb: String,
        /// The path.
        path: String,
        /// The HTTP status.
        code: u16,
        message: String,
    },
}

/// The API server's answer to one request.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// The message of the Status, where the request was refused.
    pub message: String,
    /// The object, or the Status of a refusal.
    pub body: Value,
    /// The texts of the headers `Warning`.
    pub warnings: Vec<String>,
}

impl Answer {
    /// Whether the request succeeded.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether RBAC refused the request.
    pub fn is_forbidden_by_rbac(&self) -> bool {
        self.code == 403
            && self.message.contains("cannot")
            && !self.message.contains("ValidatingAdmissionPolicy")
    }
}

/// Sends one request. `verb` is `GET`, `POST`, `PUT`, `DELETE`, or a kind of patch: `MERGE`,
/// `STRATEGIC`, `APPLY`. `APPLY` has the field manager `test` and force, unless the path has a
/// query. A refusal is an answer.
pub async fn call(client: &Client, verb: &str, path: &str, body: &Value) -> Result<Answer, Error> {
    let answered = async {
        let response = client.send(request(verb, path, body)?).await?;
        let code = response.status().as_u16();
        let warnings = response.headers().get_all(http::header::WARNING).iter();
        let warnings = warnings.filter_map(|text| text.to_str().ok()).map(str::to_owned).collect();
        let bytes = response.into_body().collect_bytes().await?;
        Ok((code, warnings, bytes))
    };
    let (code, warnings, bytes) =
        answered.await.map_err(|source: Box<dyn std::error::Error + Send + Sync>| {
            Error::Unanswered { verb: verb.to_owned(), path: path.to_owned(), source }
        })?;
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let message = if code < 300 { "" } else { body["message"].as_str().unwrap_or("no message") };
    Ok(Answer { code, message: message.to_owned(), body, warnings })
}

fn request(verb: &str, path: &str, body: &Value) -> Result<Request<Body>, http::Error> {
    let (method, content) = match verb {
        "MERGE" => ("PATCH", "application/merge-patch+json"),
        "STRATEGIC" => ("PATCH", "application/strategic-merge-patch+json"),
        "APPLY" => ("PATCH", "application/apply-patch+yaml"),
        other => (other, "application/json"),
    };
    let object = path.split('?').next().unwrap_or_default();
    let query = match (verb, path == object) {
        ("APPLY", true) => "?fieldManager=test&force=true&fieldValidation=Strict",
        _ => "",
    };
    let mut body = body.clone();
    if verb == "APPLY" {
        // Server-side apply requires the name in the object too.
        let name = object.trim_end_matches("/status").rsplit('/').next().unwrap_or_default();
        body["metadata"]["name"] = json!(name);
    }
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Request::builder()
        .method(method)
        .uri(format!("{path}{query}"))
        .header("Content-Type", content)
        .body(Body::from(bytes))
}

/// Sends a request that has to succeed, and returns the object.
pub async fn done(client: &Client, verb: &str, path: &str, body: &Value) -> Result<Value, Error> {
    let answer = call(client, verb, path, body).await?;
    if answer.is_ok() {
        return Ok(answer.body);
    }
    let (code, message) = (answer.code, answer.message);
    Err(Error::Refused { verb: verb.to_owned(), path: path.to_owned(), code, message })
}

/// Runs kubectl and returns what it prints.
pub fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Result<String, command::Error> {
    run(Command::new(paths::programs().join("kubectl"))
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(arguments))
}
