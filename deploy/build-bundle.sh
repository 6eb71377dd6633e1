#!/bin/sh
# build-bundle.sh ARCH: puts the agent and all the wheels it needs on a gateway of that architecture (aarch64, x86_64,
# armv7l) with Debian 12 into dist/spoolwatch-agent-<version>-<arch>.tar.gz. Called by `make bundle`.
set -eu

cd "$(dirname "$0")/.."
arch=$1
case $arch in
aarch64 | x86_64 | armv7l) ;;
*) echo "make bundle: ARCH is aarch64, x86_64 or armv7l, not '$arch'" >&2; exit 1 ;;
esac
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
name=spoolwatch-agent-$version-$arch
folder=build/bundle/$name
rm -rf "$folder"
mkdir -p "$folder/wheels" dist

# glibc of Debian 12, and every older one that a wheel may name.
platforms=""
for glibc in $(seq 36 -1 17); do platforms="$platforms --platform manylinux_2_${glibc}_$arch"; done
platforms="$platforms --platform manylinux2014_$arch"
pip() {
    .venv/bin/pip --disable-pip-version-check --quiet "$@"
}
# Without a wheel of its own at the index; of pure Python, so that one made here serves everywhere.
grep -A1 '^sdnotify==' requirements/agent.txt >"$folder/sdnotify.txt"
pip wheel --no-deps --require-hashes --wheel-dir "$folder/wheels" -r "$folder/sdnotify.txt"
sed '/^sdnotify==/,+1d' requirements/agent.txt >"$folder/others.txt"
# shellcheck disable=SC2086  # one word per platform
pip download --no-deps --require-hashes --only-binary :all: --dest "$folder/wheels" $platforms \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none -r "$folder/others.txt"
rm "$folder/sdnotify.txt" "$folder/others.txt"
.venv/bin/uv build --quiet --no-build-isolation --wheel --out-dir "$folder/wheels" .
rm -f "$folder/wheels/.gitignore"

cp deploy/bundle/* "$folder/"
for file in spoolwatch-agent.service spoolwatch-agent@.service spoolwatch-agent.sysusers.conf \
    spoolwatch-agent.tmpfiles.conf agent.toml; do cp "deploy/systemd/$file" "$folder/"; done
(cd "$folder" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs sha256sum >SHA256SUMS)
tar -C build/bundle --owner=0 --group=0 -czf "dist/$name.tar.gz" "$name"
ls -l "$PWD/dist/$name.tar.gz"
