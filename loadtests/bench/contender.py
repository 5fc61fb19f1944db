"""What a contender is: a server, how it is started, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from loadtests.bench.cases import Case, Encoding
from loadtests.bench.dialects import Dialect
from loadtests.bench.models import Model

__all__ = ["SERVERS", "Contender", "Launch", "Start"]

SERVERS: Final = Path(__file__).with_name("servers")


class Launch(NamedTuple):
    """What a contender is given to start with.

    Attributes:
        python: The interpreter of its environment.
        port: Where it is to listen, on 127.0.0.1.
        model: What it is to serve.
        folder: A folder of its own, its working directory.
        free_port: Finds a further free port, for servers that cannot do with one.
        receiver: Where spans may be sent.
    """

    python: Path
    port: int
    model: Model
    folder: Path
    free_port: Callable[[], int]
    receiver: str


class Start(NamedTuple):
    """A command, and its variables beside the usual ones."""

    command: list[str]
    environ: Mapping[str, str] = {}


class Contender(NamedTuple):
    """What is measured.

    Attributes:
        name: How it is called on the command line and in the table.
        about: What it is, in a few words.
        start: Tells how it is started; may write files into its folder.
        cases: The names of the cases that it takes part in.
        dialects: How it is asked, by the encodings that it knows; none if it is no server.
        environment: The environment that it lives in; ours if None.
        floor: Whether the others are compared with it.
        estimator: Whether it serves the scikit-learn estimator, so that this too must agree.
        traces: Whether it sends spans, so that some must arrive.
    """

    name: str
    about: str
    start: Callable[[Launch], Start]
    cases: tuple[str, ...]
    dialects: Mapping[Encoding, Dialect]
    environment: str | None = None
    floor: bool = False
    estimator: bool = False
    traces: bool = False

    def takes(self, case: Case) -> bool:
        """Whether it takes part in a case."""
        return case.name in self.cases
