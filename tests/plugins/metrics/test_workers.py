from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from foretell.errors import PluginError
from foretell.plugin import Instrument
from foretell_plugins.metrics.state import State
from foretell_plugins.metrics.totals import Totals
from foretell_plugins.metrics.workers import Shared, shared_folder
from tests.plugins.metrics.records import answered
from tests.servers import ROOT

Join = Callable[..., Shared]


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    """Join as a worker; all leave at the end."""
    with ExitStack() as stack:

        def joined(
            fingerprint: str = "f1", *, keep: bool = True, damaged: Callable[[str], None] = lambda _: None
        ) -> Shared:
            shared = Shared(tmp_path, fingerprint, 100, keep=keep, damaged=damaged)
            stack.callback(shared.close)
            return shared

        yield joined


_WORKER = """
import os, signal, sys
from pathlib import Path
from foretell.plugin import Instrument
from foretell_plugins.metrics.state import State
from foretell_plugins.metrics.workers import Shared
from tests.plugins.metrics.records import answered

shared = Shared(Path(sys.argv[1]), "f1", 100, keep=True)
for number in range(int(sys.argv[2])):
    shared.journal.append(answered())
shared.write(
    State(3, {"p": 1}, [Instrument("evictions_total", "counter", "", [({}, 5)]), Instrument("b", "gauge", "", [({}, 7)])])
)
print("counted", flush=True)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


class Worker:
    """Another process that has counted some requests; it is killed when it is told to end."""

    def __init__(self, folder: Path, requests: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(folder), str(requests)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"counted\n"

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[int], Worker]]:
    """Start another worker that counts so many requests; all are ended."""
    with ExitStack() as stack:

        def start(requests: int) -> Worker:
            started = Worker(tmp_path, requests)
            stack.callback(started.end)
            return started

        yield start


def count(totals: Totals) -> int:
    return sum(row.count for _, row in totals.counted())


def merged(shared: Shared) -> tuple[int, int, list[State]]:
    totals, states = shared.others()
    in_flight = sum(state.in_flight for state in states)
    return count(totals), in_flight, states


def test_a_worker_sees_what_another_counts(join: Join, worker: Callable[[int], Worker]) -> None:
    shared = join()
    worker(10)
    assert merged(shared)[:2] == (10, 3)


def test_what_a_killed_worker_counted_stays_and_what_it_was_doing_does_not(
    join: Join, worker: Callable[[int], Worker]
) -> None:
    shared = join()
    worker(10).end()
    requests, in_flight, states = merged(shared)
    assert (requests, in_flight) == (10, 0)
    assert [each.name for state in states for each in state.instruments] == ["evictions_total"]


def test_the_files_of_ended_workers_become_one(
    join: Join, worker: Callable[[int], Worker], tmp_path: Path
) -> None:
    for requests in (1, 20, 300):
        worker(requests).end()
    shared = join()
    assert len(list(tmp_path.glob("*.journal"))) == 1
    assert merged(shared)[:2] == (321, 0)
    evictions = [
        value for state in merged(shared)[2] for each in state.instruments for _, value in each.samples
    ]
    assert evictions == [15]
    worker(4000).end()
    assert merged(shared)[0] == 4321


def test_files_that_were_added_already_but_not_deleted_do_not_count_twice(
    join: Join, worker: Callable[[int], Worker], tmp_path: Path
) -> None:
    first = worker(10)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir() if path.name != "lock"}
    first.end()
    shared = join()
    for path, content in kept.items():  # as if the one who added them had been killed before it deleted them
        path.write_bytes(content)
    assert merged(shared)[0] == 10
    worker(5)
    assert merged(shared)[0] == 15


def test_two_applications_in_one_process_count_apart(join: Join) -> None:
    for other in (join("f1"), join("f2")):
        shared = join("f1")
        shared.journal.append(answered())
        assert merged(shared)[0] == 0
        assert merged(other)[0] == 0


def test_a_folder_of_the_settings_keeps_what_was_counted_while_a_worker_lives(
    join: Join, worker: Callable[[int], Worker]
) -> None:
    first, _ = worker(10), worker(20)
    first.end()
    assert merged(join(keep=False))[0] == 30


def test_a_folder_of_the_settings_begins_anew_when_no_worker_lives(
    join: Join, worker: Callable[[int], Worker], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("not foretell's")
    worker(10).end()
    assert merged(join(keep=False))[0] == 0
    assert (tmp_path / "mine.txt").exists()


def test_a_state_that_cannot_be_read_is_left_out(
    join: Join, worker: Callable[[int], Worker], tmp_path: Path
) -> None:
    shared = join()
    worker(10)
    for path in tmp_path.glob("*.state"):
        path.write_bytes(b"\xc1")
    assert merged(shared)[:2] == (10, 0)


def test_a_process_that_is_no_worker_counts_alone() -> None:
    assert shared_folder(None) is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PluginError, match="file/metrics cannot be made"):
        shared_folder(str(tmp_path / "file" / "metrics"))


_PARENT = """
import multiprocessing, os, sys
from foretell_plugins.metrics.workers import shared_folder

def child(queue):
    try:
        queue.put(shared_folder(None))
    except Exception as error:
        queue.put(str(error))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    for turn in range(2):
        process = context.Process(target=child, args=(queue,))
        process.start()
        print(queue.get())
        process.join()
        if len(sys.argv) > 1 and turn == 0:
            folder = next(path for path in os.listdir(".") if path.startswith("foretell-metrics-"))
            os.rmdir(folder)
            os.symlink("/tmp", folder) if sys.argv[1] == "link" else os.mkdir(folder, 0o777)
            os.chmod(folder, 0o777) if sys.argv[1] == "open" else None
"""


def _folders(root: Path, *arguments: str) -> list[str]:
    script = root.parent / "parent.py"
    script.write_text(_PARENT)
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(root)}
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(
        command, cwd=root, env=environ, check=True, capture_output=True, text=True
    ).stdout.splitlines()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def test_workers_of_one_parent_share_a_folder_that_is_theirs_alone(root: Path) -> None:
    first, second = _folders(root)
    assert first == second
    (folder,) = root.iterdir()
    assert str(folder) in first
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["link", "open"])
def test_a_folder_that_others_could_have_made_is_refused(kind: str, root: Path) -> None:
    _, second = _folders(root, kind)
    assert "is not this user's alone" in second


def test_what_dead_servers_left_is_removed_and_nothing_else(root: Path) -> None:
    ours = f"foretell-metrics-{os.getuid()}"
    own = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    names = {
        f"{ours}-{os.getpid()}-{own}": True,  # lives
        f"{ours}-{os.getpid()}-1": False,  # another process had this number
        f"{ours}-0-0": False,
        f"{ours}-4194304-17": True,  # nobody here, but somebody holds a journal: another container
        "foretell-metrics-x": True,
    }
    for name in names:
        (root / name).mkdir(mode=0o700)
    journal = root / f"{ours}-4194304-17" / "f-0.1-1.journal"
    with journal.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _folders(root)
    for name, stays in names.items():
        assert (root / name).exists() is stays, name


def test_instruments_of_several_workers_come_together() -> None:
    from foretell_plugins.metrics.state import merge

    def state(evictions: float, breaker: float) -> State:
        instruments = [
            Instrument("evictions_total", "counter", "", [({"level": "1"}, evictions)]),
            Instrument("breaker", "gauge", "", [({"model": "m"}, breaker)], across_workers="max"),
        ]
        return State(1, {"p": 2}, instruments)

    together = merge([state(1, 2), state(5, 0), State()])
    assert (together.in_flight, together.plugin_errors) == (2, {"p": 4})
    assert {each.name: list(each.samples) for each in together.instruments} == {
        "breaker": [({"model": "m"}, 2)],
        "evictions_total": [({"level": "1"}, 6)],
    }


def spoil(folder: Path, kind: str) -> None:
    """Do to the files of every worker what cleaners of disks, full disks and neighbours do."""
    for path in folder.glob("*.labels"):
        if kind == "garbage":
            path.write_bytes(path.read_bytes() + b"\0\0\0garbage\n")
        else:
            path.unlink()
    for path in folder.glob("*.journal"):
        if kind == "nonsense":
            with path.open("r+b") as file:
                file.seek(8)
                file.write(b"\x7f" * 8)


@pytest.mark.parametrize(("kind", "left"), [("garbage", 10), ("gone", 0), ("nonsense", 0)], ids=str)
def test_damaged_files_of_one_worker_cost_no_scrape_and_stop_no_other_worker(
    kind: str, left: int, join: Join, worker: Callable[[int], Worker], tmp_path: Path
) -> None:
    said: list[str] = []
    damaged = worker(10)
    spoil(tmp_path, kind)
    shared = join(damaged=said.append)
    shared.journal.append(answered())
    worker(5)
    for _ in range(3):
        assert merged(shared)[0] == left + 5
    assert len(said) == 1
    assert "left out" in said[0]
    damaged.end()
    worker(7)  # takes its place, and adds up what it left
    assert len(list(tmp_path.glob("*.journal"))) == 3
    assert merged(shared)[0] == left + 5 + 7


def test_a_damaged_file_of_ended_workers_is_said_and_stops_nobody(
    join: Join, worker: Callable[[int], Worker], tmp_path: Path
) -> None:
    worker(10).end()
    said: list[str] = []
    shared = join(damaged=said.append)
    assert merged(shared)[0] == 10
    (path,) = tmp_path.glob("*.ended")
    ended = msgspec.msgpack.decode(path.read_bytes())
    ended["rows"][0][1] = [1, 2, 3]
    for content in (b"\xc1", msgspec.msgpack.encode(ended)):
        path.write_bytes(content)
        assert merged(shared)[0] == 0
    assert len(said) == 1
    worker(5)
    assert merged(shared)[0] == 5


def test_no_planted_link_is_followed(join: Join, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    shared = join()
    (journal,) = tmp_path.glob("*.journal")
    journal.with_suffix(".state.new").symlink_to(victim)
    (tmp_path / journal.name.replace("-0.", "-1.")).with_suffix(".labels").symlink_to(victim)
    shared.write(State(1))
    join()
    assert victim.read_text() == "precious"
    assert not list(tmp_path.glob("*.state.new"))
    (tmp_path / "f1-0.1-1.journal").symlink_to(victim)
    assert merged(shared)[0] == 0


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777], ids=oct)
def test_a_folder_that_others_can_write_to_is_refused_with_the_remedy(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(
        PluginError, match=r"others can write to .*chmod go-w.*plugins\.config\.metrics\.directory"
    ):
        shared_folder(str(folder))
    assert shared_folder(str(folder / "own")) == (folder / "own", False)
    assert (folder / "own").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o755)
    os.chown(folder, 65534, 65534)
    with pytest.raises(PluginError, match="owner 65534"):
        shared_folder(str(folder))
