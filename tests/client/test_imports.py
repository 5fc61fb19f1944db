"""The client works where there is nothing of the server, and its public names are these."""

from __future__ import annotations

import subprocess
import sys

import foretell.client
from foretell.client import Client
from tests.client.faulty_server import FaultyServer, answer
from tests.servers import RunningServer, environment

ALONE = """
import sys

ALLOWED = {*sys.stdlib_module_names, "anyio", "certifi", "h11", "httpcore", "httpx", "idna", "sniffio", "typing_extensions"}


class Nothing:
    '''Whatever else is installed is not there.'''

    def find_spec(self, name, path=None, target=None):
        first, *rest = name.split(".")
        if first in ALLOWED or (first == "foretell" and (not rest or rest[0] == "client")):
            return None
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Nothing())
for name in ("foretell.errors", "litestar", "msgspec", "numpy", "onnxruntime", "opentelemetry", "pandas"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} is there")

import asyncio
from foretell.client import AsyncClient, Client


async def ask(url):
    async with AsyncClient(url) as client:
        return (await client.predict("iris", [[6.3, 2.8, 5.1, 1.5]])).labels


with Client(sys.argv[1]) as client:
    print(client.predict("iris", {
        "sepal_length": [5.1], "sepal_width": [3.5], "petal_length": [1.4], "petal_width": [float(0.2)]
    }).labels, asyncio.run(ask(sys.argv[1])))
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment({}), capture_output=True, text=True, check=False)


def test_it_works_with_httpx_alone(sample_server: RunningServer) -> None:
    done = run(ALONE, sample_server.url)
    assert (done.stdout, done.stderr) == ("['setosa'] ['versicolor']\n", "")


def test_without_httpx_the_remedy_is_told() -> None:
    done = run("import sys; sys.modules['httpx'] = None; import foretell.client")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: foretell.client needs httpx: pip install 'foretell[client]'"
    )


def test_the_public_names_are_these() -> None:
    assert foretell.client.__all__ == [
        "AccessDeniedError",
        "AsyncClient",
        "Client",
        "DeadlineError",
        "ForetellError",
        "InvalidInputError",
        "NotFoundError",
        "OverloadedError",
        "Prediction",
        "Problem",
        "Retries",
        "ServerError",
        "UnexpectedAnswerError",
        "UnreachableError",
    ]


def test_both_clients_have_the_same_calls() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert (
        names(foretell.client.AsyncClient)
        == names(Client)
        == {"close", "model", "models", "predict", "ready"}
    )


def test_a_client_closes_its_connections() -> None:
    with FaultyServer(answer()) as server:
        client = Client(server.url)
        with client:
            client.predict("m", [[1]])
        assert client._http.is_closed
