//! Two probe daemons, one after the other in the same boot, against [`Api`]: `guest daemons`.
//!
//! Out: an object for each daemon, with its requests and the memory it took. A daemon is ended at
//! its second check after a request that shows that the hook profile is settled, or after a minute.

use std::fs;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::api::{Api, KUBECONFIG};
use crate::shell::{self, command};

const DAEMON: [&str; 6] = ["node-probe", "agent", "--node-name", "n1", "--check-interval", "2s"];
const AT_REST: Duration = Duration::from_mins(1);
const CHECKS_AT_REST: usize = 2;

/// Runs both daemons.
pub fn run() -> io::Result<u8> {
    let api = Api::start()?;
    // The first daemon has reported with the digest of its profile.
    daemon(&api, |request| {
        let digest = request.rsplit_once("/status ").map(|(_, digest)| digest);
        request.starts_with("PUT ") && digest.is_some_and(|digest| !digest.is_empty())
    })?;
    // The second one has found the profile of the first.
    daemon(&api, |request| request.starts_with("GET ") && request.contains("/lsmhookprofiles/"))?;
    Ok(0)
}

fn daemon(api: &Api, is_settled: impl Fn(&str) -> bool) -> io::Result<()> {
    api.forget_requests();
    let mut child = command(&DAEMON).env("KUBECONFIG", KUBECONFIG).stdout(Stdio::null()).spawn()?;
    let is_at_rest = || {
        let requests = api.requests();
        let after = requests.iter().skip_while(|request| !is_settled(request));
        after.filter(|request| request.starts_with("GET /api/v1/nodes/n1")).count()
            >= CHECKS_AT_REST
    };
    shell::until(AT_REST, is_at_rest);
    let requests = api.requests();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = memory.and_then(|memory| memory.trim().split(' ').next()?.parse::<u64>().ok());
    println!("{}", json!({"requests": requests, "kilobytes": kilobytes}));
    kill_process(Pid::from_child(&child), Signal::TERM)?;
    child.wait()?;
    Ok(())
}
