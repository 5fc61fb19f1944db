"""Adding a version: it appears whole or not at all, whoever else publishes, and whatever kills the publisher."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foretell.errors import InvalidNameError, StoreError
from foretell.store.artifact import read_artifact
from foretell.store.catalog import scan
from foretell.store.manifest import FileDigest, Manifest
from foretell.store.publish import add_version
from tests.models import digest_of, linear_model_bytes, make_manifest, signature_of

MODEL = linear_model_bytes()
FILES = {"model.onnx": MODEL, "notes.bin": bytes(range(256)) * 64}
ROOT = Path(__file__).parents[2]
MAX_BYTES = 10_000_000


def manifest_of(files: dict[str, FileDigest]) -> Manifest:
    return Manifest(format_version=1, files=files, signature=signature_of(MODEL), opset={"ai.onnx": 21})


def add(store: Path, name: str = "m") -> int:
    return add_version(store, name, FILES, manifest_of)


def verified(store: Path) -> dict[str, list[int]]:
    """The versions of each model of a store, every one of them checked."""
    found = scan(store)
    for model in found.values():
        for folder in model.versions.values():
            assert read_artifact(folder, max_bytes=MAX_BYTES).manifest is not None
    return {name: list(model.versions) for name, model in found.items()}


def staged(store: Path) -> list[str]:
    return [path.name for path in (store / ".staging").iterdir()]


def test_versions_are_numbered_from_one(store: Path) -> None:
    assert [add(store) for _ in range(3)] == [1, 2, 3]
    assert add(store, "other") == 1
    assert verified(store) == {"m": [1, 2, 3], "other": [1]}
    assert staged(store) == []


def test_a_version_holds_its_files_and_a_manifest_of_them(store: Path) -> None:
    add(store)
    folder = store / "m" / "1"
    assert {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"
    } == FILES
    manifest = Manifest.read(folder / "manifest.json")
    assert manifest == make_manifest(MODEL, files={"notes.bin": FILES["notes.bin"]})
    assert manifest.files["notes.bin"] == digest_of(FILES["notes.bin"])


def test_the_next_version_is_one_more_than_the_highest(store: Path) -> None:
    for name in ("3", "10", "latest", "011", ".12"):
        (store / "m" / name).mkdir(parents=True)
    assert add(store) == 11


def test_a_file_in_the_way_is_stepped_over(store: Path) -> None:
    (store / "m").mkdir()
    (store / "m" / "1").write_text("not a version")
    assert add(store) == 2
    assert (store / "m" / "1").read_text() == "not a version"


def test_a_new_store_is_made(tmp_path: Path) -> None:
    assert add(tmp_path / "a" / "b") == 1
    assert verified(tmp_path / "a" / "b") == {"m": [1]}


@pytest.mark.parametrize("name", ["../m", "", ".staging", "a/b", "m\n"])
def test_a_bad_name_is_refused_before_anything_is_written(store: Path, name: str) -> None:
    with pytest.raises(InvalidNameError):
        add(store, name)
    assert list(store.iterdir()) == []


def test_a_manifest_that_cannot_be_made_leaves_no_trace(store: Path) -> None:
    def fail(files: dict[str, FileDigest]) -> Manifest:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_version(store, "m", FILES, fail)
    assert staged(store) == []
    assert scan(store) == {}


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"m cannot be published to '.*file'"):
        add(tmp_path / "file")


def test_a_model_that_cannot_be_written_is_an_error_and_leaves_no_staging(store: Path) -> None:
    (store / "m").write_text("a file where the model's folder should be")
    with pytest.raises(StoreError, match="m cannot be published"):
        add(store)
    assert staged(store) == []


def test_a_rename_that_fails_for_another_reason_is_an_error(store: Path) -> None:
    (store / "m").mkdir()
    (store / "m" / "1").symlink_to("nowhere")
    with pytest.raises(StoreError, match="m cannot be published"):
        add(store)
    assert staged(store) == []


def test_staging_of_a_dead_publisher_is_removed_once_it_is_old(store: Path) -> None:
    for name, age_s in (("old", 7200), ("young", 60)):
        folder = store / ".staging" / name
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"half")
        then = (store / ".staging").stat().st_mtime - age_s
        os.utime(folder, (then, then))
    add(store)
    assert staged(store) == ["young"]


def test_staging_that_disappears_meanwhile_is_no_concern(store: Path) -> None:
    """Another publisher finishes between the listing and the look at its age; a dangling link stands for that."""
    (store / ".staging").mkdir()
    (store / ".staging" / "gone").symlink_to("nowhere")
    assert add(store) == 1


# ------------------------------------------------------------------ other processes

PUBLISH = """
import sys
from pathlib import Path
from tests.store.test_publish import add
store, times = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(times):
    print(add(store), flush=True)
"""

SCAN = """
import sys
from pathlib import Path
from tests.store.test_publish import verified
store, stop = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
scans, most = 0, 0
while most < int(sys.argv[3]):
    versions = verified(store).get("m", [])
    assert versions == list(range(1, len(versions) + 1)), versions
    scans, most = scans + 1, max(most, len(versions))
print(scans, flush=True)
"""


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a script, and return once it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: subprocess.Popen[str], text: str = "") -> list[int]:
    """Let a process go on to its end, and give the numbers that it printed."""
    printed, _ = process.communicate(text, timeout=60)
    assert process.returncode == 0
    return [int(line) for line in printed.split()]


def test_publishers_at_once_get_different_numbers_and_readers_see_whole_versions_only(store: Path) -> None:
    reader = start(SCAN, store, store, "40")
    publishers = [start(PUBLISH, store, "20") for _ in range(2)]
    for publisher in publishers:
        assert publisher.stdin is not None
        publisher.stdin.write("\n")
        publisher.stdin.flush()
    numbers = [finish(publisher) for publisher in publishers]

    assert all(part == sorted(part) for part in numbers)
    assert sorted(number for part in numbers for number in part) == list(range(1, 41))
    assert verified(store) == {"m": list(range(1, 41))}
    assert staged(store) == []
    assert finish(reader)[0] > 0


FORK = """
import os, sys
from pathlib import Path
from tests.store.test_publish import add
print("ready", flush=True)
for line in sys.stdin:  # each asks for one more publisher that goes on until it is killed
    child = os.fork()
    if child == 0:
        os.write(1, b"%d\\n" % os.getpid())
        try:
            while True:
                add(Path(sys.argv[1]))
                os.write(1, b"published\\n")
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    os.write(1, b"died of %d\\n" % os.WTERMSIG(status))
"""


def test_a_publisher_killed_at_any_moment_leaves_a_store_that_loads(store: Path) -> None:
    chance = random.Random()
    forker = start(FORK, store)
    assert forker.stdin is not None
    assert forker.stdout is not None
    for _ in range(50):
        print("go", file=forker.stdin, flush=True)
        child = int(forker.stdout.readline())
        for _ in range(chance.randint(0, 2)):
            assert forker.stdout.readline() == "published\n"
        time.sleep(chance.uniform(0, 0.01))  # not to wait for anything: the moment is what is random
        os.kill(child, signal.SIGKILL)
        while (line := forker.stdout.readline()) == "published\n":
            pass
        assert line == f"died of {signal.SIGKILL}\n"
        assert set(scan(store)) <= {"m"}
    finish(forker)

    before = verified(store).get("m", [])
    assert before == list(range(1, len(before) + 1))
    assert add(store) == len(before) + 1
