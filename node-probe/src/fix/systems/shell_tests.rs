//! Runs the table's commands that change a file: no file loses what it had.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::steps::{Change, filled};
use super::*;

const PARAMETER: &str = "lsm=landlock,bpf";

/// The files that the commands change. They end without a newline.
const FILES: &[(&str, &str)] = &[
    (
        "etc/default/grub",
        "GRUB_CMDLINE_LINUX=\"ro lsm=yama\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet lsm=yama\"",
    ),
    ("etc/kernel/cmdline", "root=/dev/vda1 quiet"),
    ("boot/firmware/cmdline.txt", "console=tty1 root=PARTUUID=x rootwait"),
    ("boot/mariner.cfg", "mariner_cmdline=init=/lib/systemd/systemd ro\nmariner_linux=vmlinuz"),
    ("boot/armbianEnv.txt", "verbosity=1\nrootdev=UUID=x"),
    ("usr/share/oem/grub.cfg", "set oem_id=\"x\"\nset linux_append=\"quiet\""),
];

/// The commands of a text that change a file. The file names get the root directory in front.
fn commands(text: &str, root: &str) -> Vec<String> {
    let commands = text.split('`').skip(1).step_by(2);
    commands
        .filter(|command| command.contains("sed -i") || command.contains(">>"))
        .map(|command| {
            ["/etc/", "/boot/", "/usr/"].iter().fold(command.to_owned(), |text, folder| {
                text.replace(&format!(" {folder}"), &format!(" {root}{folder}"))
            })
        })
        .collect()
}

fn shell(script: &str) -> String {
    let output = Command::new("sh").args(["-euc", script]).output().expect("sh runs");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn write(root: &Path, end: &str) {
    for (name, content) in FILES {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, format!("{content}{end}")).expect("written");
    }
}

/// Each line is still there, alone or with words behind it; none was joined with the next line.
fn assert_kept(root: &Path, command: &str) {
    for (name, content) in FILES {
        let now = fs::read_to_string(root.join(name)).expect("read");
        for line in content.lines() {
            let kept = now.lines().any(|new| new == line || new.starts_with(&format!("{line} ")));
            assert!(kept, "{command}: {name} has lost {line}: {now}");
        }
    }
}

/// GRUB's variables after the command.
fn grub_variables(root: &Path) -> String {
    let root = root.display();
    shell(&format!(
        ". {root}/etc/default/grub; if [ -e {root}/etc/default/grub.d/99-lsm.cfg ]; then . \
         {root}/etc/default/grub.d/99-lsm.cfg; fi; echo \"$GRUB_CMDLINE_LINUX\"; echo \
         \"$GRUB_CMDLINE_LINUX_DEFAULT\""
    ))
}

fn run(text: &str, end: &str) -> usize {
    let count = commands(text, "").len();
    for index in 0..count {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), end);
        let command = commands(text, &folder.path().display().to_string()).remove(index);
        shell(&command);
        assert_kept(folder.path(), &command);
        let files = shell(&format!("grep -rl {PARAMETER} {}", folder.path().display()));
        assert_eq!(files.lines().count(), 1, "{command}: {files}");
        if command.contains("GRUB_CMDLINE") {
            let variables = grub_variables(folder.path());
            let (linux, default) = variables.trim_end().split_once('\n').expect("two lines");
            let new = format!("lsm=yama {PARAMETER}");
            assert!(
                linux.starts_with("ro lsm=yama") && default.starts_with("quiet lsm=yama"),
                "{command}: {variables}"
            );
            assert!(linux.ends_with(&new) || default.ends_with(&new), "{command}: {variables}");
        }
    }
    count
}

#[test]
fn commands_keep_what_the_files_had() {
    let change = Change::Set { parameter: PARAMETER, instead: None };
    let mut count = 0;
    for system in all() {
        let Method::Steps(steps) = &system.method else {
            continue;
        };
        let text = filled(steps.set, change);
        count += run(&text, "") + run(&text, "\n");
    }
    assert!(count >= 20, "{count} commands were found and run");
}
