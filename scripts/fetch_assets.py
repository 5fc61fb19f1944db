"""Re-create the vendored OpenAPI page from its npm package, and check it against the recorded digests.

Run it as ``make assets``. With ``--update 1.2.3`` it takes another version and records its digests; read the
difference before you commit that. It asks npm, as it is set up on your machine, and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TypedDict, cast

FOLDER = Path(__file__).resolve().parent.parent / "service/foretell/http/assets/swagger-ui"
RECORD = FOLDER / "VERSION.json"


class Record(TypedDict):
    """What VERSION.json holds: the package, and the SHA-256 of each file taken from it."""

    name: str
    version: str
    files: dict[str, str]


def pack(name: str, version: str, folder: Path) -> Path:
    """Download one version of an npm package; return the path of its archive."""
    npm = ["npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    subprocess.run([*npm, f"{name}@{version}"], check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.tgz"))


def read(archive: Path, names: list[str]) -> dict[str, bytes]:
    """Read the named files of an npm archive into memory; nothing else is unpacked.

    Raises:
        SystemExit: The archive lacks one of them.
    """
    with tarfile.open(archive) as tar:
        found: dict[str, bytes] = {}
        for name in names:
            try:
                file = tar.extractfile(f"package/{name}")
            except KeyError:
                file = None
            if file is None:
                raise SystemExit(f"{archive.name} has no file {name}")
            found[name] = file.read()
    return found


def main() -> None:
    """Fetch, check and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", metavar="VERSION", help="take this version and record its digests")
    update: str | None = parser.parse_args().update

    record = cast("Record", json.loads(RECORD.read_text(encoding="utf-8")))
    version = update or record["version"]
    with tempfile.TemporaryDirectory() as folder:
        files = read(pack(record["name"], version, Path(folder)), list(record["files"]))

    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    if update is None:
        wrong = [name for name, digest in digests.items() if digest != record["files"][name]]
        if wrong:
            raise SystemExit(f"{record['name']} {version}: not the recorded SHA-256: {', '.join(wrong)}")
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
    if update is not None:
        updated: Record = {"name": record["name"], "version": version, "files": digests}
        RECORD.write_text(json.dumps(updated, indent=2) + "\n", encoding="utf-8")
    print(f"{record['name']} {version}: {len(files)} files, as recorded in {RECORD.name}")


if __name__ == "__main__":
    main()
