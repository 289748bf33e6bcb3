#!/bin/sh
# Packages the chart for a release: with the addresses of the repository and of the images, which
# nobody knows before.
#
# Usage: release/chart.sh VERSION URL REGISTRY FOLDER
#   VERSION   without v, for example 0.1.0
#   URL       of the repository, for example https://example.com/lsm-ready
#   REGISTRY  where the images are, for example registry.example.com/lsm-ready
#   FOLDER    where lsm-ready-VERSION.tgz goes
#
# HELM is the program, by default the one in the PATH.
set -eu

if [ $# -ne 4 ]; then
    echo "usage: $0 VERSION URL REGISTRY FOLDER" >&2
    exit 64
fi
version=$1 url=$2 registry=$3 folder=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$(dirname "$0")/../charts/lsm-ready" "$work"
chart=$work/lsm-ready

# The annotations are the last key of the file.
cat >>"$chart/Chart.yaml" <<END
  artifacthub.io/links: |
    - name: Documentation
      url: $url/blob/v$version/docs/README.md
    - name: Installing, upgrading and removing
      url: $url/blob/v$version/docs/install.md
home: $url
icon: $url/raw/v$version/charts/lsm-ready/icon.svg
sources: [$url]
END
# Whoever mirrors the images still sets nothing but image.registry.
sed -i "s|image: lsm-ready/|image: $registry/|" "$chart/Chart.yaml"
sed -i -e "s|^  registry: \"\"\$|  registry: $registry|" \
    -e 's|repository: lsm-ready/|repository: |' "$chart/values.yaml"
sed -i -e "s#^| .image.registry. | .\"\"#| \`image.registry\` | \`\"$registry\"#" \
    -e 's#"lsm-ready/\(operator\|node-probe\)"#"\1"#' "$chart/README.md"
"${HELM:-helm}" package "$chart" --version "$version" --app-version "$version" \
    --destination "$folder"
