"""What many rows cost beside what cannot be saved: a server that does nothing, reading the JSON, the model's run.

    python loadtests/big_batches.py [--rounds 9] [--rows 1 64 1024]    CPU time, with real servers, in turns
    python loadtests/big_batches.py --instructions                     instructions, by valgrind; some minutes

Requests of 30 numbers a row for breast_cancer (100 trees) in three forms, and the ratio

    server CPU a request / CPU a request of an application under uvicorn that takes the same body, does
                               `numpy.array(orjson.loads(body)["instances"])`, or the same of the flat data of V2's JSON,
                               and `session.run`, and answers two bytes

measured right after one another in each round. All of it is done in the one application: by themselves, over and over,
the same steps find their code and data in the CPU's caches and take far less. Binary tensors need no reading. The
callers are in this process, whose own CPU time is not the server's. Needs `make .venv/.dev`.

Instructions are the same however busy the machine is. They are counted of each step, and of whole requests on a
connection without a kernel, as `hot_path.py` does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
import onnxruntime
import orjson

from foretell.parser import Parser
from foretell.prediction import PredictResponse, RequestRecord
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.native import NativeCodec
from foretell.protocols.v2.codec import V2Codec
from foretell.store.manifest import Manifest

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from loadtests.callgrind import count, counted  # noqa: E402 - the path comes first
from loadtests.hot_path import FLOOR, JSON, connect  # noqa: E402
from loadtests.plugin_cost import make_store  # noqa: E402
from tests.servers import RunningServer  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from foretell.protocols.codec import Codec

MODEL: Final = "breast_cancer"
VERSION: Final = ROOT / "model_store" / MODEL / "1"
COLUMNS: Final = 30
FORMS: Final = ("JSON", "V2 JSON", "V2 binary")
TARGET: Final = 1.25
WAYS: Final = {"floor": FLOOR, "accelerated": "bare, accelerated", "any_server": "bare, any server"}
"""Whole requests that are counted, by what `hot_path.py` calls them."""

COUNTED: Final = 640
"""How many rows each step is given, in at least ten requests, where instructions are counted."""

LENGTH: Final = "inference-header-content-length"

LEAST: Final = """
import socket, sys
import numpy, onnxruntime, orjson, uvicorn

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
run = onnxruntime.InferenceSession(sys.argv[1], options).run

async def least(scope, receive, send):
    message = await receive()
    body = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    path = scope["path"]
    if path.endswith("predict"):
        run(None, {"features": numpy.array(orjson.loads(body)["instances"])})
    elif path.endswith("infer"):
        length = dict(scope["headers"]).get(b"inference-header-content-length")
        if length is None:
            data = numpy.array(orjson.loads(body)["inputs"][0]["data"])
        else:
            data = numpy.frombuffer(body[int(length):])
        run(None, {"features": data.reshape(-1, 30)})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
config = uvicorn.Config(least, lifespan="off", log_level="error", access_log=False)
uvicorn.Server(config).run(sockets=[listening])
"""


class Question(NamedTuple):
    """A request.

    Attributes:
        path: The path.
        headers: What it has beside the usual headers.
        body: The body.
        tensor: What is in it.
    """

    path: str
    headers: dict[str, str]
    body: bytes
    tensor: Any


def question(form: str, rows: int) -> Question:
    """A request of so many rows, of numbers with four digits, as tables have them."""
    example = json.loads((VERSION / "manifest.json").read_text())["signature"]["example"]
    spread = np.random.default_rng(0).uniform(0.8, 1.2, (rows, COLUMNS))
    tensor = np.array([[float(f"{value:.4g}") for value in row] for row in np.array(example) * spread])
    if form == "JSON":
        body = json.dumps({"instances": tensor.tolist()}).encode()
        return Question(f"/v1/models/{MODEL}:predict", {}, body, tensor)
    described: dict[str, Any] = {"name": "features", "shape": [rows, COLUMNS], "datatype": "FP64"}
    path = f"/v2/models/{MODEL}/infer"
    if form == "V2 JSON":
        body = json.dumps({"inputs": [{**described, "data": tensor.reshape(-1).tolist()}]}).encode()
        return Question(path, {}, body, tensor)
    data = tensor.tobytes()
    described["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    return Question(path, {LENGTH: str(len(head))}, head + data, tensor)


def reading(form: str, asked: Question) -> Callable[[], Any]:
    """What reads the numbers of a request, with nothing checked."""
    if form == "JSON":
        return lambda: np.array(orjson.loads(asked.body)["instances"], dtype=np.float64)
    if form == "V2 JSON":
        return lambda: np.array(orjson.loads(asked.body)["inputs"][0]["data"], dtype=np.float64)
    return lambda: None


def open_session() -> onnxruntime.InferenceSession:
    """The model, with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(VERSION / "model.onnx", options)


class Caller:
    """Asks a server one request after the other, on one connection.

    Args:
        pid: The server's process.
        port: Where it listens.
    """

    def __init__(self, pid: int, port: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def cpu_us(self, asked: Question, requests: int) -> float:
        """The CPU time of the server for one request, µs.

        Raises:
            SystemExit: One is not answered with 200.
        """
        headers = {"Host": "localhost", "Content-Length": str(len(asked.body)), **asked.headers}
        if LENGTH not in asked.headers:
            headers["Content-Type"] = "application/json"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST {asked.path} HTTP/1.1\r\n{lines}\r\n".encode() + asked.body
        began = self._spent_ns()
        for _ in range(requests):
            self._socket.sendall(request)
            self._answer()
        return (self._spent_ns() - began) / requests / 1000

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _answer(self) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(1 << 20)
        head, _, body = received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a request was answered with {received!r}")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        left = int(lines[b"content-length"]) - len(body)
        while left:
            left -= len(self._socket.recv(left))

    def _spent_ns(self) -> int:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in self._tasks.iterdir())


def start(stack: ExitStack, folder: Path) -> tuple[Caller, Caller]:
    """Callers of a server that does the least, and of this one."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LEAST, str(VERSION / "model.onnx")]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    stack.callback(other.kill)
    assert other.stdout is not None
    least = Caller(other.pid, int(other.stdout.readline()))
    stack.callback(least.close)
    flags = ["--set", "plugins.enabled=", "--set", "engine.inline_us=1000", "--workers", "1"]
    store = ["--store", str(ROOT / "model_store"), "--port", "0"]
    server = RunningServer([sys.executable, "-m", "foretell", "serve", *store, *flags], cwd=folder)
    stack.callback(server.stop)
    ours = Caller(server.process.pid, int(server.url.rpartition(":")[2]))
    stack.callback(ours.close)
    return least, ours


def measure(rounds: int, rows: list[int]) -> bool:
    """Measure in turns, and print a table; whether the targets are met."""
    met = True
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        least, ours = start(stack, Path(folder))
        print(f"{'rows':>5} {'form':<10}{'nothing':>9}{'least':>9}{'foretell':>9}{'ratio':>9}")
        for number in rows:
            for form in FORMS:
                asked = question(form, number)
                requests = max(20, 8000 // (number + 16))
                found: list[list[float]] = []
                for _ in range(rounds + 1):
                    idle = least.cpu_us(asked._replace(path="/"), requests)
                    found.append([idle, least.cpu_us(asked, requests), ours.cpu_us(asked, requests)])
                del found[0]  # the first round is for warming up
                ratios = [own / other for _, other, own in found]
                ratio = statistics.median(ratios)
                met = met and (number == 1 or ratio <= TARGET)
                shown = "".join(f"{statistics.median(column):>9.1f}" for column in zip(*found, strict=True))
                print(f"{number:>5} {form:<10}{shown}{ratio:>9.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return met


def codecs() -> dict[str, Codec]:
    """What reads and writes each form."""
    manifest = msgspec.json.decode((VERSION / "manifest.json").read_bytes(), type=Manifest)
    parser = Parser(manifest.signature, max_rows=10_000)
    v2 = V2Codec(parser, model=MODEL, version=1, deadlines=Deadlines())
    return {"JSON": NativeCodec(parser, model=MODEL, version=1, name="M"), "V2 JSON": v2, "V2 binary": v2}


def times(rows: int) -> int:
    """How often each step is taken where instructions are counted."""
    return max(10, COUNTED // rows)


def run_counted(rows: list[int]) -> None:
    """Take each step by itself, and then whole requests, under valgrind."""
    session = open_session()
    for number in rows:
        for form, codec in codecs().items():
            asked = question(form, number)
            headers = [(name.encode(), value.encode()) for name, value in asked.headers.items()]
            record = RequestRecord("id", codec.protocol, 0, headers=headers)
            request, encode = codec.decode(asked.body, record)
            outputs = session.run(None, request.inputs)
            names = [output.name for output in session.get_outputs()]
            response = PredictResponse(dict(zip(names, outputs, strict=True)))
            steps: dict[str, Callable[[], Any]] = {
                "nothing": lambda: None,
                "reading": reading(form, asked),
                "decode": lambda: codec.decode(asked.body, record),  # noqa: B023
                "run": lambda: session.run(None, {"features": asked.tensor}),  # noqa: B023
                "encode": lambda: encode(request, response),  # noqa: B023
            }
            for name, step in steps.items():
                for _ in range(20):
                    step()
                gc.collect()
                with counted(part(number, form, name)):
                    for _ in range(times(number)):
                        step()
    with tempfile.TemporaryDirectory() as folder:
        make_store(Path(folder))
        asyncio.run(ask_counted(rows, Path(folder)))


async def ask_counted(rows: list[int], folder: Path) -> None:
    """Ask an application that does nothing, and this one in both ways."""
    for way, variant in WAYS.items():
        async with AsyncExitStack() as stack:
            connection = await connect(stack, folder, variant)
            for number in rows:
                for form in FORMS:
                    asked = question(form, number)
                    lines = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items()) or JSON
                    await connection.ask(asked.path, [asked.body] * 20, lines)
                    gc.collect()
                    with counted(part(number, form, way)):
                        await connection.ask(asked.path, [asked.body] * times(number), lines)


def part(rows: int, form: str, step: str) -> str:
    """The name of what is counted, a word."""
    return f"{rows}-{form}-{step}".replace(" ", "_")


def print_instructions(rows: list[int]) -> None:
    """Count the instructions of each step and of whole requests, and print a table."""
    counts = count([__file__, "--counted", "--rows", *map(str, rows)])
    steps = ("reading", "decode", "run", "encode", *WAYS)
    print(f"{'rows':>5} {'form':<10}" + "".join(f"{step:>12}" for step in steps) + "      ratios")
    for number in rows:
        for form in FORMS:
            own = counts[part(number, form, "nothing")]
            each = {step: (counts[part(number, form, step)] - own) / times(number) for step in steps}
            least = each["floor"] + each["reading"] + each["run"]
            shown = "".join(f"{instructions:>12,.0f}" for instructions in each.values())
            ratios = f"{each['accelerated'] / least:8.2f}{each['any_server'] / least:6.2f}"
            print(f"{number:>5} {form:<10}{shown}{ratios}")


def main() -> None:
    """Measure, and exit with 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="how often each has its turn; %(default)s")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1, 64, 1024], help="how many rows a request has; %(default)s"
    )
    parser.add_argument("--instructions", action="store_true", help="count instructions, under valgrind")
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)  # it runs under valgrind
    arguments = parser.parse_args()
    if arguments.counted:
        run_counted(arguments.rows)
    elif arguments.instructions:
        print_instructions(arguments.rows)
    else:
        raise SystemExit(not measure(arguments.rounds, arguments.rows))


if __name__ == "__main__":
    main()
