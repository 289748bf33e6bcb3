# Debian packages that the system's own apt does not know: of another architecture, or of backports. Sourced by scripts.
#
# Nothing of the system's state is changed: lists and cache are in a folder of their own.

# system_suites: "MIRROR SUITE", a line each, of the Debian suites that the system's apt knows.
system_suites() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' | sort -u
}

# debian_mirror: where the system gets Debian from.
debian_mirror() { system_suites | awk '$1 !~ /security/ {print $1; exit}'; }

# private_apt DIR ARCH: the options, one a line, that make apt use a state in DIR with the suites on standard input.
private_apt() {
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    sed "s|^|deb [arch=$2 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] |; s|\$| main|" >"$1/sources.list"
    printf '%s\n' -o "Dir::Etc::sourcelist=$1/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o "Dir::State::lists=$1/lists" -o Dir::State::status=/dev/null -o "Dir::Cache=$1/cache" \
        -o Acquire::Languages=none -o APT::Sandbox::User=root -o "APT::Architecture=$2" -o "APT::Architectures::=$2"
}
