#!/bin/sh
# Installs the agent of this folder, or updates it, without a network: as root, sh install.sh
set -eu

cd "$(dirname "$0")"
root=${SPOOLWATCH_ROOT:-} # another root than /, such as an image that is being made
home=$root/opt/spoolwatch-agent
python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
    { echo "this bundle is for Python 3.11, that of Debian 12, and python3 here is another or missing" >&2; exit 1; }
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    { echo "the Debian package python3-venv is missing: install it first" >&2; exit 1; }
sha256sum --quiet --check SHA256SUMS

# Beside what runs, and in its place only once it is whole.
new=$home.new
rm -rf "$new"
python3 -m venv "$new"
"$new/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps wheels/*.whl
"$new/bin/spoolwatch-agent" --help >/dev/null
find "$new/bin" -type f -exec sed -i "1s|$new|${home#"$root"}|" {} +
rm -rf "$home.old"
if [ -e "$home" ]; then mv "$home" "$home.old"; fi
mv "$new" "$home"
rm -rf "$home.old"

mkdir -p "$root/usr/local/bin" "$root/etc/systemd/system" "$root/etc/sysusers.d" "$root/etc/tmpfiles.d" "$root/etc/spoolwatch"
ln -sf "${home#"$root"}/bin/spoolwatch-agent" "$root/usr/local/bin/spoolwatch-agent"
install -m 644 spoolwatch-agent.service spoolwatch-agent@.service "$root/etc/systemd/system/"
install -m 644 spoolwatch-agent.sysusers.conf "$root/etc/sysusers.d/spoolwatch-agent.conf"
install -m 644 spoolwatch-agent.tmpfiles.conf "$root/etc/tmpfiles.d/spoolwatch-agent.conf"
[ -e "$root/etc/spoolwatch/agent.toml" ] || install -m 644 agent.toml "$root/etc/spoolwatch/agent.toml.example"
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
    systemd-sysusers
    systemd-tmpfiles --create spoolwatch-agent.conf
    systemctl daemon-reload
    systemctl try-restart spoolwatch-agent.service 'spoolwatch-agent@*.service'
fi
echo "installed; docs/gateway.md says how to enrol this gateway"
