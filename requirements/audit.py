"""Asks for known vulnerabilities of what is pinned: ``python requirements/audit.py``.

That takes the network and its advisories: without them it says so and passes, as nothing can be known.
"""

import json
import subprocess
import sys
from pathlib import Path

PIP_AUDIT = "pip-audit@2.10.1"
PINNED = Path(__file__).with_name("dev.txt")


def main() -> int:
    """Print what is known; 1 if something is vulnerable."""
    uvx = Path(sys.executable).with_name("uvx")
    options = ["--progress-spinner", "off", "--format", "json", "--disable-pip", "--require-hashes"]
    asked = subprocess.run(
        [uvx, "--quiet", PIP_AUDIT, *options, "-r", PINNED], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(asked.stdout)["dependencies"]
    except ValueError:
        why = asked.stderr.strip().splitlines()[-1:]
        print("pip-audit: not run, which takes the network:", *why)
        return 0
    known = [package for package in packages if "skip_reason" not in package]
    for package in known:
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}: {found['description']}")
    if not known:
        print("pip-audit: not run, which takes advisories: the package index that is reached here has none")
    return int(any(package["vulns"] for package in known))


if __name__ == "__main__":
    sys.exit(main())
