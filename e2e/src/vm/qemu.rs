//! The guest's `/init`, as text.
//!
//! In: what to mount and what to run. Out: a shell script for busybox.

use std::fmt::Write as _;

/// What the guest has at `/sys/kernel/security`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Securityfs {
    /// securityfs, mounted.
    #[default]
    Mounted,
    /// The empty directory that sysfs has there when nothing is mounted.
    Empty,
}

const BEGIN: &str = r"#!/bin/busybox sh
export PATH=/bin HOME=/ TERM=dumb
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
";

// The ports are made raw, so that every byte comes through as it is. The exit code goes last: a machine without one
// has died.
const END: &str = r"code=$?
echo $code > /dev/ttyS3
poweroff -f
";

/// The script.
pub fn script(securityfs: Securityfs, command: &[String]) -> String {
    let mut script = BEGIN.to_owned();
    if securityfs == Securityfs::Mounted {
        script.push_str("mount -t securityfs security /sys/kernel/security\n");
    }
    script.push_str("for port in 1 2 3; do stty -F /dev/ttyS$port raw -echo; done\n");
    let words: Vec<String> = command.iter().map(|word| quote(word)).collect();
    // Writing to a String cannot fail.
    writeln!(script, "{} </dev/null >/dev/ttyS1 2>/dev/ttyS2", words.join(" ")).ok();
    script.push_str(END);
    script
}

/// A word as the shell takes it for itself.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_command_as_they_are() {
        let words = ["a b", "it's", "$HOME", ""].map(str::to_owned);
        assert!(script(Securityfs::Mounted, &words).contains(r"'a b' 'it'\''s' '$HOME' '' <"));
    }

    #[test]
    fn securityfs_can_be_left_out() {
        let words = ["true".to_owned()];
        assert!(script(Securityfs::Mounted, &words).contains("securityfs"));
        assert!(!script(Securityfs::Empty, &words).contains("securityfs"));
    }
}
