//! An API server as small as can be, for probe daemons in a machine without a cluster.
//!
//! In: HTTP requests at 127.0.0.1:8080. Out: answers. The Node n1 exists. The server
//! keeps other objects as they were created, with the status that was last written, each in a file
//! below [`OBJECTS`]. It notes each request with the profile that it names.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};

use crate::shell::{self, command};

/// The folder of the objects.
pub const OBJECTS: &str = "/tmp/objects";
/// A kubeconfig for this server, which the rig puts into the machine.
pub const KUBECONFIG: &str = "/bin/kubeconfig";

/// The running server. It ends with the process.
pub struct Api {
    requests: Arc<Mutex<Vec<String>>>,
}

struct Request {
    method: String,
    path: String,
    body: String,
}

impl Api {
    /// Starts to serve.
    pub fn start() -> io::Result<Self> {
        fs::create_dir_all(OBJECTS)?;
        shell::must(&mut command(&["ip", "link", "set", "lo", "up"]))?;
        let listener = TcpListener::bind("127.0.0.1:8080")?;
        let api = Self { requests: Arc::default() };
        let requests = Arc::clone(&api.requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let requests = Arc::clone(&requests);
                // A client that goes away in the middle of its request needs no answer.
                thread::spawn(move || serve(&stream, &requests).ok());
            }
        });
        Ok(api)
    }

    /// The requests so far: method, path, and the digest of the hook profile in the body.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }

    /// Forgets the requests so far. Objects stay.
    pub fn forget_requests(&self) {
        lock(&self.requests).clear();
    }
}

fn lock(requests: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, requests: &Mutex<Vec<String>>) -> io::Result<()> {
    let request = read(&mut BufReader::new(stream))?;
    let profile = request
        .body
        .split_once("\"hookProfile\":\"")
        .map_or("", |(_, after)| after.split('"').next().unwrap_or_default());
    let line = format!("{} {} {profile}", request.method, request.path);
    lock(requests).push(line.trim_end().to_owned());
    let (code, body) = answer(&request)?;
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {code} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn read(stream: &mut BufReader<&TcpStream>) -> io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header)?;
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = String::new();
    stream.take(length).read_to_string(&mut body)?;
    let path = target.split('?').next().unwrap_or_default().to_owned();
    Ok(Request { method, path, body })
}

fn answer(request: &Request) -> io::Result<(u16, String)> {
    let name = request.path.rsplit('/').next().unwrap_or_default();
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    match request.method.as_str() {
        "GET" if request.path == "/api/v1/nodes/n1" => Ok((200, node().to_string())),
        "GET" => match fs::read_to_string(file(name)) {
            Ok(object) => Ok((200, object)),
            Err(_) => Ok((404, failure(404, "NotFound").to_string())),
        },
        "POST" => {
            let mut object = body;
            object["metadata"]["uid"] = json!("o");
            // Only a write to the status itself sets a status.
            if let Some(fields) = object.as_object_mut() {
                fields.remove("status");
            }
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            Ok((201, keep(&name, object, 1)?))
        }
        "PUT" if request.path.ends_with("/status") => {
            replace_status(name_above(&request.path), &body)
        }
        _ => Ok((405, failure(405, "MethodNotAllowed").to_string())),
    }
}

/// Replaces the status and nothing else, unless the object has changed since the client read it.
fn replace_status(name: &str, body: &Value) -> io::Result<(u16, String)> {
    let Ok(text) = fs::read_to_string(file(name)) else {
        return Ok((404, failure(404, "NotFound").to_string()));
    };
    let mut object: Value = serde_json::from_str(&text)?;
    let version = &object["metadata"]["resourceVersion"];
    if body["metadata"]["resourceVersion"] != *version {
        return Ok((409, failure(409, "Conflict").to_string()));
    }
    let version = version.as_str().and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
    object["status"] = body["status"].clone();
    Ok((200, keep(name, object, version + 1)?))
}

/// Stores the object under that version, and returns its text.
fn keep(name: &str, mut object: Value, version: u64) -> io::Result<String> {
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    let text = object.to_string();
    fs::write(file(name), &text)?;
    Ok(text)
}

/// The name in the path of a status.
fn name_above(path: &str) -> &str {
    path.trim_end_matches("/status").rsplit('/').next().unwrap_or_default()
}

fn file(object: &str) -> PathBuf {
    Path::new(OBJECTS).join(object)
}

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u"}})
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "message": "no", "code": code})
}
