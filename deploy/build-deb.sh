#!/bin/sh
# Builds both Debian packages from the files that git knows, into dist/. Called by `make deb`.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
build=$root/build/deb
missing=""
for tool in dpkg-buildpackage dh lintian; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "make deb needs$missing; as root, run: apt-get install dpkg-dev debhelper lintian" >&2
    exit 1
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
rm -rf "$build"
source=$build/spoolwatch-$version
mkdir -p "$source" dist
git ls-files -z | xargs -0 cp --parents --target-directory="$source"
mv "$source/deploy/debian" "$source/debian"
cat >"$source/debian/changelog" <<EOF
spoolwatch ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- Spoolwatch developers <developers@spoolwatch.invalid>  $(git log -1 --format=%cD)
EOF
.venv/bin/uv build --quiet --no-build-isolation --wheel --out-dir "$build" "$source"

cd "$source"
SPOOLWATCH_UV=$root/.venv/bin/uv SPOOLWATCH_WHEEL=$(echo "$build"/*.whl) \
    dpkg-buildpackage --no-sign --build=binary >"$build/log" 2>&1 || { tail -n 40 "$build/log" >&2; exit 1; }
cd "$build"
lintian --allow-root --tag-display-limit 0 --fail-on error ./*.changes
mv ./*.deb "$root/dist/"
ls -l "$root"/dist/*_"$version"_*.deb
