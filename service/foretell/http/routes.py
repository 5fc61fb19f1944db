"""Which prediction, or which description, a path asks for."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from foretell.errors import NotFoundError
from foretell.excerpts import shortened
from foretell.prediction import header_of

if TYPE_CHECKING:
    from foretell.prediction import Headers

__all__ = ["PREDICT", "READ", "Question", "Route", "Routing", "nothing_at"]

PREDICT: Final = "predict"
"""The verb of a prediction, in whichever words a protocol asks for it."""

READ: Final = ("GET", "HEAD")
"""The methods of what changes nothing and takes no body."""


class Route(msgspec.Struct, frozen=True, gc=False):
    """What is asked, by its path.

    Attributes:
        path: The path itself, for error bodies.
        protocol: The name of the codec.
        model: The model's name; None for the default model.
        version: The version as the caller wrote it, if one was named.
        alias: The alias, if one was named.
        verb: What is to be done: `PREDICT`, or what the protocol calls it.
        template: The path as it is documented, for traces.
        invalid: The HTTP status of a request that is well-formed, but not what the model takes.
        methods: The HTTP methods that it has.
    """

    path: str
    protocol: str
    model: str | None = None
    version: str | None = None
    alias: str | None = None
    verb: str = PREDICT
    template: str = ""
    invalid: int = 422
    methods: tuple[str, ...] = ("POST",)


def nothing_at(path: str) -> NotFoundError:
    """What is raised for a path at which there is nothing."""
    return NotFoundError(f"there is nothing at {shortened(path)}; GET / tells what there is")


class Question(msgspec.Struct, frozen=True, gc=False):
    """A request that is no prediction.

    Attributes:
        route: What is asked.
        headers: Its headers.
        method: Its HTTP method.
        body: Its body; empty where the route takes none.
    """

    route: Route
    headers: Headers
    method: str
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, by its name in lower case; the last, if there are several."""
        return header_of(self.headers, name)


class Routing(Protocol):
    """The path where a protocol begins, and those below it.

    Attributes:
        protocol: The protocol's name, for what it does not know.
        has_paths_below: Whether there are any below.
    """

    protocol: str
    has_paths_below: bool

    def route(self, path: str, rest: str, headers: Headers) -> Route:
        """What a path asks for.

        Args:
            path: The whole path.
            rest: What of it comes behind the one where the protocol begins; empty if nothing does.
            headers: The request's headers.

        Raises:
            NotFoundError: Nothing.
        """
        ...

    def answer(self, question: Question) -> object | Awaitable[object]:
        """What is answered to a question that is no prediction, to be written as JSON.

        Raises:
            ForetellError: It cannot be answered.
        """
        ...
