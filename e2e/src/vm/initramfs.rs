//! Initial ramdisks: cpio archives in the "newc" form
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! In: files. Out: the archive, with the folders above the files. [`write_for_command`] makes one
//! that runs a command.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use e2e_guest::{START, Start};

use super::{Error, Machine, Securityfs, while_doing};
use crate::paths;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
const MOUNT_POINTS: [&str; 7] = ["bin", "dev", "etc", "proc", "run", "sys", "tmp"];
const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
/// The places of the first process and of the shell, which a machine can replace by files of its
/// own.
const INIT: &str = "/init";
const BUSYBOX: &str = "/bin/busybox";

/// Writes the ramdisk of a machine that runs a command.
pub(super) fn write_for_command(
    path: &Path,
    machine: &Machine,
    command: &[String],
) -> Result<(), Error> {
    let (program, command) = resolve(command);
    let mut files: Vec<(PathBuf, String)> = program.into_iter().collect();
    files.extend(machine.files.iter().cloned());
    if !files.iter().any(|(_, target)| target == BUSYBOX) {
        files.push((busybox()?, BUSYBOX.to_owned()));
    }
    if !files.iter().any(|(_, target)| target == INIT) {
        files.push((guest_program()?, INIT.to_owned()));
    }
    let start = Start::Command { command, securityfs: machine.securityfs == Securityfs::Mounted };
    let write = || {
        let mut archive = Archive::create(path)?;
        for name in MOUNT_POINTS {
            archive.directory(name)?;
        }
        archive.file("/etc/passwd", 0o644, PASSWD.as_bytes())?;
        archive.file("/etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
        archive.start(&start)?;
        archive.link("/bin/guest", INIT)?;
        for (source, target) in &files {
            archive.copy(source, target)?;
        }
        archive.end()
    };
    write().map_err(while_doing("writing the initial ramdisk"))
}

/// The program that is the first process of every machine.
pub fn guest_program() -> Result<PathBuf, Error> {
    let program = paths::static_program("guest");
    if program.is_file() { Ok(program) } else { Err(Error::NoGuest(program)) }
}

/// The file to copy in for the command, if its first word is a path on this machine, and the
/// command inside the machine.
fn resolve(command: &[String]) -> (Option<(PathBuf, String)>, Vec<String>) {
    let mut command = command.to_vec();
    let Some(first) = command.first_mut().filter(|first| first.contains('/')) else {
        return (None, command);
    };
    let host = PathBuf::from(&*first);
    let Some(name) = host.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return (None, command);
    };
    *first = format!("/bin/{name}");
    let guest = first.clone();
    (Some((host, guest)), command)
}

/// A statically linked busybox: one that names no interpreter.
fn busybox() -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("busybox"))
        .find(|candidate| fs::read(candidate).is_ok_and(|program| is_static(&program)))
        .ok_or(Error::Busybox)
}

/// The ELF file's program headers (64 bits, little endian) have no PT_INTERP.
fn is_static(elf: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let half =
        |at: usize| elf.get(at..at + 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let (Some(size), Some(count)) = (half(54), half(56)) else {
        return false;
    };
    let Some(start) =
        elf.get(32..40).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
    else {
        return false;
    };
    let Ok(start) = usize::try_from(start) else {
        return false;
    };
    let kind = |index: u16| {
        let at = start.checked_add(usize::from(index) * usize::from(size))?;
        elf.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
    };
    elf.starts_with(b"\x7fELF")
        && (0..count).all(|index| kind(index).is_some_and(|kind| kind != PT_INTERP))
}

/// An archive that is being written.
pub struct Archive<W: Write> {
    out: W,
    inode: u32,
    directories: BTreeSet<String>,
}

impl Archive<BufWriter<File>> {
    /// Begins an archive in a file.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufWriter::new(File::create(path)?)))
    }
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self { out, inode: 0, directories: BTreeSet::new() }
    }

    /// Adds what the first process is to do.
    pub fn start(&mut self, start: &Start) -> io::Result<()> {
        self.file(START, 0o644, &serde_json::to_vec(start)?)
    }

    /// Adds a file of this machine with its permissions.
    pub fn copy(&mut self, source: &Path, target: &str) -> io::Result<()> {
        let read = || Ok((fs::metadata(source)?.permissions().mode() & 0o777, fs::read(source)?));
        let (mode, content) = read().map_err(|error: io::Error| {
            io::Error::new(error.kind(), format!("cannot read {}: {error}", source.display()))
        })?;
        self.file(target, mode, &content)
    }

    /// Adds a folder with the folders above it, unless it is there.
    pub fn directory(&mut self, name: &str) -> io::Result<()> {
        if name.is_empty() || !self.directories.insert(name.to_owned()) {
            return Ok(());
        }
        self.parent(name)?;
        self.entry(name, DIRECTORY, &[])
    }

    fn parent(&mut self, name: &str) -> io::Result<()> {
        name.rsplit_once('/').map_or(Ok(()), |(parent, _)| self.directory(parent))
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, permissions: u32, content: &[u8]) -> io::Result<()> {
        let name = name.trim_start_matches('/');
        self.parent(name)?;
        self.entry(name, FILE | permissions, content)
    }

    /// A header of thirteen numbers in hex, the name, the content; each padded to four bytes.
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::other(format!("{name} is larger than 4 GiB")))?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        self.padded(110, &[name.as_bytes(), b"\0"].concat())?;
        self.padded(0, content)
    }

    fn padded(&mut self, before: usize, content: &[u8]) -> io::Result<()> {
        self.out.write_all(content)?;
        let over = (before + content.len()) % 4;
        if over == 0 { Ok(()) } else { self.out.write_all(&[0; 4][over..]) }
    }

    /// Adds a symbolic link to a path.
    pub fn link(&mut self, name: &str, to: &str) -> io::Result<()> {
        let name = name.trim_start_matches('/');
        self.parent(name)?;
        self.entry(name, LINK, to.as_bytes())
    }

    /// Ends the archive.
    pub fn end(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn cpio_reads_what_is_written() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("a/b/c", 0o640, b"hello").unwrap();
        archive.directory("a/d").unwrap();
        archive.end().unwrap();
        let mut cpio = Command::new("cpio")
            .arg("-itv")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        cpio.stdin.take().unwrap().write_all(&bytes).unwrap();
        let listed = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
        let names: Vec<&str> =
            listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/d"], "{listed}");
        assert!(listed.contains("-rw-r-----"), "{listed}");
    }

    #[test]
    fn a_program_of_this_machine_is_copied_in() {
        let (file, command) = resolve(&["./x/prog".to_owned(), "arg".to_owned()]);
        assert_eq!(file, Some((PathBuf::from("./x/prog"), "/bin/prog".to_owned())));
        assert_eq!(command, ["/bin/prog", "arg"]);
        assert_eq!(resolve(&["sh".to_owned()]), (None, vec!["sh".to_owned()]));
    }

    #[test]
    fn only_static_programs_are_static() {
        assert!(!is_static(b""));
        assert!(!is_static(&fs::read("/proc/self/exe").unwrap()));
        assert!(is_static(&fs::read(busybox().unwrap()).unwrap()));
    }
}
