"""How long a server takes to its first right answer, and how much memory a worker takes, beside the libraries alone.

    python loadtests/start.py [--rounds 10] [--workers 2]

The time is compared with that of `import litestar, onnxruntime, numpy` in a process of its own, taken in turns. The memory
is compared with that of a process that has imported what serving needs and has made sessions of the same models; it is
that of a worker after a hundred predictions. Once without plugins, and once with those of foretell.toml. Needs
`make .venv/.dev`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from loadtests.processes import proportional_mb, resident_mb  # noqa: E402 - the path comes first
from tests.servers import SAMPLE_STORE, RunningServer  # noqa: E402

LIBRARIES: Final = "import litestar, onnxruntime, numpy"
HOLDING: Final = """
import sys
import litestar, msgspec, numpy, onnxruntime, uvicorn
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
held = [onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in sys.argv[1:]]
print(len(held), flush=True)
sys.stdin.read()
"""
ASKED: Final = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]]})
CONFIGURATIONS: Final = {
    "no plugins": ("--set", "plugins.enabled="),
    "those of foretell.toml": (),
}
PREDICTIONS: Final = 100
MOST_TIMES: Final = 1.5
MOST_MB: Final = 25


class Memory(NamedTuple):
    """The memory of a process.

    Attributes:
        resident_mb: With all of what it shares with others, MB.
        proportional_mb: With its part of that, MB.
    """

    resident_mb: float
    proportional_mb: float

    @classmethod
    def of(cls, pid: int) -> Memory:
        """The memory of a process as it is now."""
        return cls(resident_mb(pid), proportional_mb(pid))


def import_s() -> float:
    """How long a process takes that does nothing but import the libraries, seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return time.perf_counter() - began


def serve(*flags: str) -> RunningServer:
    """Begin to serve the sample store."""
    command = [sys.executable, "-m", "foretell", "serve", "--store", str(SAMPLE_STORE), "--port", "0", *flags]
    return RunningServer(command, cwd=ROOT)


def predict(url: str, times: int = 1) -> None:
    """Ask for predictions, each on a connection of its own, so that all workers get some."""
    for _ in range(times):
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        connection.request("POST", "/v1/models/iris:predict", ASKED, {"content-type": "application/json"})
        with connection.getresponse() as response:
            answer = json.loads(response.read())
        connection.close()
        assert answer["predictions"][0]["label"] == "setosa", answer


def start_s(*flags: str) -> float:
    """How long a server takes from its command to its first right answer, seconds."""
    began = time.perf_counter()
    server = serve(*flags)
    try:
        predict(server.url)
        return time.perf_counter() - began
    finally:
        server.process.kill()
        server.wait_or_kill()


def libraries_memory() -> Memory:
    """The memory of a process that holds the libraries and the sample models, and does nothing."""
    models = [str(path) for path in sorted(SAMPLE_STORE.glob("*/*/model.onnx"))]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, *models],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert int(process.stdout.readline()) == len(models)
        memory = Memory.of(process.pid)
        process.stdin.close()
    return memory


def server_memory(workers: int, *flags: str) -> list[Memory]:
    """The memory of each worker that has answered predictions; of the one process if there are no workers."""
    server = serve("--workers", str(workers), *flags)
    try:
        url = server.url
        predict(url, PREDICTIONS * workers)
        ready = (
            server.wait_for_more("worker ready", workers) if workers > 1 else [{"pid": server.process.pid}]
        )
        return [Memory.of(each["pid"]) for each in ready]
    finally:
        server.stop()


def told(name: str, found: list[float], beside: list[float]) -> float:
    """Print times beside those that were taken in turns with them; returns the ratio of the medians."""
    ratio = statistics.median(found) / statistics.median(beside)
    print(
        f"{name:<24} {statistics.median(found):6.3f} s ({min(found):.3f} to {max(found):.3f}), "
        f"{ratio:.2f} times the imports, {min(found) / min(beside):.2f} where both are fastest"
    )
    return ratio


def main() -> None:
    """Measure, and exit with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="how often each has its turn; %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="how many workers answer; %(default)s")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    start_s()  # what has never run here is compiled, and kept as what is installed is
    imports: list[float] = []
    starts: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
    for _ in range(arguments.rounds):
        imports.append(import_s())
        for name, flags in CONFIGURATIONS.items():
            starts[name].append(start_s(*flags))
    told(LIBRARIES, imports, imports)
    ratios = [told(name, found, imports) for name, found in starts.items()]
    least = libraries_memory()
    print(f"{'libraries and models':<24} {least.resident_mb:6.1f} MB")
    beyond: list[float] = []
    for workers in sorted({1, arguments.workers}):
        for name, flags in CONFIGURATIONS.items():
            for memory in server_memory(workers, *flags):
                beyond.append(memory.resident_mb - least.resident_mb)
                print(
                    f"{f'{name}, {workers} worker(s)':<36} {memory.resident_mb:6.1f} MB, {beyond[-1]:+.1f}; "
                    f"{memory.proportional_mb:.1f} MB of PSS"
                )
    raise SystemExit(max(ratios) > MOST_TIMES or max(beyond) > MOST_MB)


if __name__ == "__main__":
    main()
