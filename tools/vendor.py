"""Fetches the scripts and styles of other projects again, through npm, and checks what is here.

    python tools/vendor.py          check that every file has the hash the manifest gives
    python tools/vendor.py --fetch  fetch the versions the manifest names and write files and hashes

Owns nothing of what is fetched: ``manifest.json`` beside the files says where each comes from.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "rlaif" / "service" / "web" / "static" / "vendor"
MANIFEST: Final = FOLDER / "manifest.json"


def main(arguments: list[str]) -> int:
    """Check, or fetch and write."""
    packages = json.loads(MANIFEST.read_text())["packages"]
    if "--fetch" in arguments:
        for package in packages:
            fetch(package)
        MANIFEST.write_text(json.dumps({"packages": packages}, indent=2) + "\n")
    faults = wrong(packages)
    for fault in faults:
        print(fault, file=sys.stderr)
    return bool(faults)


def wrong(packages: list[dict[str, Any]]) -> list[str]:
    """What differs from the manifest, in a sentence each."""
    listed = {file["name"]: file["sha256"] for package in packages for file in package["files"]}
    here = {path.name for path in FOLDER.iterdir() if path != MANIFEST}
    faults = [
        f"{name} is not in manifest.json; list it or delete it" for name in sorted(here - listed.keys())
    ]
    for name, expected in sorted(listed.items()):
        if name not in here:
            faults.append(f"{name} is missing; run: python tools/vendor.py --fetch")
        elif (found := digest((FOLDER / name).read_bytes())) != expected:
            faults.append(f"{name} has SHA-256 {found}, the manifest says {expected}; fetch it again")
    return faults


def fetch(package: dict[str, Any]) -> None:
    """Take a package's files out of its npm tarball; their hashes go into the manifest's entry."""
    with tempfile.TemporaryDirectory() as scratch:
        spec = f"{package['npm']}@{package['version']}"
        command = ["npm", "pack", "--silent", spec]
        subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own list
        (tarball,) = Path(scratch).glob("*.tgz")
        with tarfile.open(tarball) as packed:
            for file in package["files"]:
                content = packed.extractfile(f"package/{file['path']}")
                assert content is not None, f"{spec} has no {file['path']}"
                taken = content.read()
                (FOLDER / file["name"]).write_bytes(taken)
                file["sha256"] = digest(taken)


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
