#!/bin/sh
# Builds the pages as a site: docs/site.sh, or `make site`.
#
# In: the pages, book.toml, cargo. Out: target/site, of which index.html is the first page; exit
# code 1 and the links that lead nowhere. mdBook is built from crates.io into target/tools when it
# is not there (some minutes). Nothing is installed into the system. Without optimisation, because
# compiling it takes longer than all of its work.
set -eu
version=0.5.4
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-target}/tools

if [ "$("$tools/bin/mdbook" --version 2>/dev/null)" != "mdbook v$version" ]; then
    echo "docs/site.sh: building mdBook $version into $tools" >&2
    cargo install --quiet --locked --debug --no-track --force --root "$tools" \
        --target-dir "$tools/build" --no-default-features --features search \
        mdbook --version "$version"
    rm -rf "$tools/build"
fi

# The pages with the repository's own layout, so that each link works as it is written.
cargo run --quiet -p lsm-ready-docs -- . site target/site-source
"$tools/bin/mdbook" build --dest-dir "$PWD/target/site" target/site-source
cargo run --quiet -p lsm-ready-docs -- . links target/site
echo "docs/site.sh: target/site/index.html"
