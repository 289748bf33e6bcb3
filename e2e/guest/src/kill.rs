//! Kills checks, and then probe daemons, and prints what is left of them: `guest kill KILLS SEED`.
//!
//! Out: three lines of JSON. One is about a check that was killed while its canary was attached,
//! one about checks that were killed at random moments, one about half as many daemons. A check may
//! take minutes where the processor is emulated on a busy machine. Each of the C programs ends when
//! what it killed is gone from the kernel, so that the next one begins with nothing on its way out.

use std::io;
use std::time::Instant;

use crate::api::{Api, KUBECONFIG, OBJECTS};
use crate::shell::{self, command};

const CHECK: [&str; 4] = ["/bin/node-probe", "check", "--deadline", "4m"];
const NOTHING_ATTACHED: u8 = 1;

/// Kills, and returns the exit code of the first program that failed.
pub fn run(kills: &str, seed: &str) -> io::Result<u8> {
    let begun = Instant::now();
    let code = shell::run(&mut command(&[&["kill_while_attached"], &CHECK[..]].concat()))?;
    // On a kernel to which nothing can be attached, the line of JSON shows that.
    if code != 0 && code != NOTHING_ATTACHED {
        return Ok(code);
    }
    // The time of several checks, as the one above was traced.
    let seconds = 2 * (begun.elapsed().as_secs() + 1);
    let code = shell::run(&mut command(&[&["kill_at_random", kills, seed], &CHECK[..]].concat()))?;
    if code != 0 {
        return Ok(code);
    }
    let _api = Api::start()?;
    let half: u32 = kills.parse().map_err(io::Error::other)?;
    // The API server forgets everything when a daemon starts, so that each daemon tries the hooks.
    // A daemon would end by itself after some checks, and is killed before that.
    let daemon = format!(
        "rm -f {OBJECTS}/*; exec /bin/busybox timeout {seconds} /bin/node-probe agent --node-name n1 --check-interval 2s"
    );
    let half = (half / 2).to_string();
    let words = ["kill_at_random", &half, seed, "/bin/busybox", "sh", "-c", &daemon];
    shell::run(command(&words).env("KUBECONFIG", KUBECONFIG))
}
