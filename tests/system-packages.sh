#!/bin/sh
# Installs what the tests need from Debian, where it is missing and we may; else says what is missing and fails.
# With "long", also what the long ones need.
set -eu

PATH="$PATH:/usr/sbin:/sbin"
missing=""

need() { # need PACKAGE TEST…: the package is missing if the test fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

need mosquitto command -v mosquitto
need chromium command -v chromium
need postgresql sh -c 'ls /usr/lib/postgresql/*/bin/postgres'
need libfaketime sh -c 'ls /usr/lib/*/faketime/libfaketime.so.1'
need gcc command -v cc
need libc6-dev sh -c 'ls /usr/include/*/sys/uio.h /usr/include/sys/uio.h 2>/dev/null | grep -q .'
need systemd command -v systemd-analyze
if [ "${1:-}" = long ]; then
    need debootstrap command -v debootstrap
    need dpkg-dev command -v dpkg-buildpackage
    need debhelper command -v dh
    need lintian command -v lintian
fi

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The tests need Debian packages that are not installed; as root, run: apt-get install$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # one word per package
apt-get install -qq -y --no-install-recommends $missing
