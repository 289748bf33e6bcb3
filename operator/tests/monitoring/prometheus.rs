//! A real Prometheus on loopback that scrapes one operator, with our rules.
//!
//! In: the operator's address. Out: answers of Prometheus' API. It ends when it is dropped.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{config, program};

pub struct Prometheus {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Prometheus {
    pub fn scraping(operator: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let rules = config("monitoring/rules/rules.yaml");
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{}]\n\
             scrape_configs:\n\
             - job_name: lsm-ready\n  static_configs: [{{targets: ['127.0.0.1:{operator}']}}]\n",
            rules.display()
        );
        let file = folder.path().join("prometheus.yaml");
        fs::write(&file, settings).unwrap();
        let mut command = program("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdin(Stdio::null());
        Self { process: command.spawn().unwrap(), port, _folder: folder }
    }

    /// Asks the API. The path has its query.
    async fn get(&self, path: &str) -> Result<Value, String> {
        let mut answer = String::new();
        let asked = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
            // HTTP/1.0: the answer is not cut into chunks, and ends with the connection.
            let request = format!("GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_string(&mut answer).await
        };
        asked.await.map_err(|error| error.to_string())?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let body: Value = serde_json::from_str(body).map_err(|_| answer.clone())?;
        if body["status"] == "success" { Ok(body["data"].clone()) } else { Err(body.to_string()) }
    }

    /// The series that an expression has now. An error is what Prometheus says of the expression.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let encoded =
            expression.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
        let data = self.get(&format!("/api/v1/query?query={encoded}")).await?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    /// All rules, with their health.
    pub async fn rules(&self) -> Result<Vec<Value>, String> {
        let data = self.get("/api/v1/rules").await?;
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        Ok(groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
