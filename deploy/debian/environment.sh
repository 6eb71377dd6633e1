#!/bin/sh
# environment.sh PACKAGE: makes the virtual environment of a package, and the one program that runs in it.
# Called by rules, in the source tree, with the project's wheel in $SPOOLWATCH_WHEEL and uv in $SPOOLWATCH_UV.
set -eu

package=$1
case $package in
spoolwatch-agent) pins=requirements/agent.txt module=edge_agent.cli ;;
spoolwatch-aggregator) pins=requirements/run.txt module=aggregator.cli ;;
esac
home=/usr/lib/$package
root=debian/$package
folder=$root$home

"$SPOOLWATCH_UV" venv --quiet --no-project --no-python-downloads --python /usr/bin/python3 "$folder"
install() {
    "$SPOOLWATCH_UV" pip install --quiet --no-config --link-mode copy --python "$folder/bin/python" "$@"
}
install --require-hashes -r "$pins"
install --no-deps "$SPOOLWATCH_WHEEL"

# What nobody runs there: tests and headers of the packages, and programs other than the package's own.
find "$folder/lib" -type d \( -name tests -o -name test -o -name include -o -name __pycache__ \) -prune -exec rm -r {} +
find "$folder" \( -name .lock -o -name .gitignore -o -name CACHEDIR.TAG \) -delete
find "$folder/bin" -mindepth 1 ! -name 'python*' -delete
find "$folder/lib" -name '*.so*' -type f -exec chmod 644 {} +
ln -sf /usr/bin/python3 "$folder/bin/python"

mkdir -p "$root/usr/bin"
cat >"$root/usr/bin/$package" <<EOF
#!$home/bin/python -I
from $module import main

main()
EOF
chmod 755 "$root/usr/bin/$package"
