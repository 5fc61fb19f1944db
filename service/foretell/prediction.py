"""One prediction: what is asked of a model, what it answers, and the record that is left of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from foretell.tensors import Array

if TYPE_CHECKING:
    from foretell.signature import Signature
    from foretell.store.manifest import Manifest

__all__ = [
    "CacheStatus",
    "Choose",
    "Headers",
    "ModelInfo",
    "Observe",
    "Predict",
    "PredictRequest",
    "PredictResponse",
    "RequestRecord",
    "Respond",
    "Step",
    "answered",
    "check_header",
    "check_value",
]

Headers = Sequence[tuple[bytes, bytes]]
"""HTTP headers, names in lower case."""

CacheStatus = Literal["hit", "miss", "coalesced", "bypass"]
"""What a cache did for a request: answered it, did not have it, let it wait for an equal one, or was told not to."""

_HEADER_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})
"""Headers that say where an answer ends; they are the server's."""

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header's value holds. Source: RFC 9110, section 5.5."""


def check_header(name: object, value: object) -> None:
    """Refuse a header that would break the answer it is put into.

    Raises:
        TypeError: Its name or its value is not of bytes.
        ValueError: Its name is none, is not in lower case or is the server's own, or its value holds a line break or
            another control character.

    Source: RFC 9110, sections 5.1 and 5.5.
    """
    if type(name) is not bytes or type(value) is not bytes:
        raise TypeError(f"a header is a name and a value of bytes, not {name!r} and {value!r}")
    _check_header_name(name)
    check_value(name, value)


def check_value(name: bytes, value: bytes) -> None:
    """Refuse a header's value that would break the answer it is put into.

    Raises:
        ValueError: It holds a line break or another control character.
    """
    if _CONTROL.search(value):
        raise ValueError(f"the value of the header {name!r} holds a control character: {value!r}")


@lru_cache(256)  # the same few names with every answer
def _check_header_name(name: bytes) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a header's name: use lower-case letters, digits and -")
    if name in _FRAMING:
        raise ValueError(f"the header {name!r} is the server's own: it says where an answer ends")


def header_of(headers: Headers, name: bytes) -> bytes | None:
    """The value of a header, by its name in lower case; the last, if there are several."""
    found = None
    for key, value in headers:
        if key == name:
            found = value
    return found


class ModelInfo(msgspec.Struct, frozen=True):
    """What is known of a loaded version.

    Attributes:
        name: The model's name.
        version: The version's number.
        digest: The SHA-256 of the model file, in hexadecimal.
        fingerprint: A SHA-256 over every file of the version, in hexadecimal.
        signature: What it takes and gives.
        manifest: Its manifest; None for a bare model file.
        run_us: What a run on one row was measured to cost at warm-up, µs; None if it was not.
        load_s: How long it took to load, from its files to the end of its warm-up, seconds; None if it was not
            loaded here.
    """

    name: str
    version: int
    digest: str
    fingerprint: str
    signature: Signature
    manifest: Manifest | None = None
    run_us: float | None = None
    load_s: float | None = None


class Step(msgspec.Struct, frozen=True, gc=False):
    """Something that took time on the way to an answer, for traces.

    Attributes:
        name: What was done, for instance ``cache look-up``.
        started_ns: When it began, by the clock of the record, ns.
        ended_ns: When it ended, ns.
        attributes: More about it; plain values.
    """

    name: str
    started_ns: int
    ended_ns: int
    attributes: dict[str, Any] | None = None


class RequestRecord(msgspec.Struct):
    """What is known of a request: gathered on its way, and handed to observers after its answer was sent.

    All times are of `time.perf_counter_ns`; 0 means that the request did not get there.

    Attributes:
        request_id: The identity of the request.
        protocol: The wire protocol, for instance ``native``.
        started_ns: When the request was taken up, ns.
        route: The path as it is documented, for instance ``/v1/models/{model}:predict``.
        headers: The request's headers.
        method: The HTTP method.
        path: The path that was asked.
        predicts: Whether a prediction was asked, and not what is known of the server or its models.
        deadline_ns: When the caller no longer wants the answer, ns; 0 means never.
        body_deadline: What in the body has set the deadline; None if nothing has.
        model: The model's name; empty if the request named none that exists.
        version: The version that was to answer; 0 if there is none.
        rows: The number of rows; 0 if the request was refused before they were counted.
        status: The HTTP status.
        failure: What went wrong; None if nothing did.
        cache: What a cache did for it; None where no cache was asked.
        degraded: Why something else answered than what was asked; None for an ordinary answer.
        served_by: What answered in its place, for instance ``iris/1``, or ``value``.
        decoded_ns: When its tensors were ready, ns.
        queued_ns: When the version was given them, ns.
        run_started_ns: When ONNX Runtime was given them, ns.
        run_ended_ns: When ONNX Runtime was done, ns.
        run_rows: How many rows its run had; 0 if it did not run, or if the run is another request's to count.
        together: How many requests shared its run.
        companions: The spans of the others who shared it and leave traces: trace and span, as in `trace_id`, `span_id`.
        predicted_ns: When the outputs had come back through all plugins, ns.
        finished_ns: When the answer's bytes were ready, ns.
        trace_id: The identity of the trace that it belongs to, 32 hexadecimal digits; None if it leaves none.
        span_id: The identity of its own span, 16 hexadecimal digits.
        steps: What else took time, in the order in which it ended; see `add_step`.
        answer_headers: Further headers of the answer; see `add_header`.
        notes: What a plugin leaves for its own `observe`, under its own name; see `note`.
    """

    request_id: str
    protocol: str
    started_ns: int
    route: str = ""
    headers: Headers = ()
    method: str = "POST"
    path: str = ""
    predicts: bool = True
    deadline_ns: int = 0
    body_deadline: str | None = None
    model: str = ""
    version: int = 0
    rows: int = 0
    status: int = 0
    failure: Exception | None = None
    cache: CacheStatus | None = None
    degraded: str | None = None
    served_by: str | None = None
    decoded_ns: int = 0
    queued_ns: int = 0
    run_started_ns: int = 0
    run_ended_ns: int = 0
    run_rows: int = 0
    together: int = 0
    companions: tuple[tuple[str, str], ...] = ()
    predicted_ns: int = 0
    finished_ns: int = 0
    trace_id: str | None = None
    span_id: str | None = None
    steps: list[Step] | None = None
    answer_headers: list[tuple[bytes, bytes]] | None = None
    notes: dict[str, Any] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The value of a request header, by its name in lower case; the last, if there are several."""
        return header_of(self.headers, name)

    @property
    def sets_deadline(self) -> bool:
        """Whether the caller has said itself how long it waits."""
        return self.body_deadline is not None or self.header(b"x-request-timeout") is not None

    @property
    def deadline_source(self) -> str:
        """Where the deadline comes from, for messages."""
        if self.body_deadline is not None:
            return self.body_deadline
        return "limits.deadline_s" if self.header(b"x-request-timeout") is None else "X-Request-Timeout"

    def add_step(
        self, name: str, started_ns: int, ended_ns: int, attributes: dict[str, Any] | None = None
    ) -> None:
        """Say that something took time; times by `time.perf_counter_ns`."""
        if self.steps is None:
            self.steps = []
        self.steps.append(Step(name, started_ns, ended_ns, attributes))

    def add_header(self, name: bytes, value: bytes) -> None:
        """Give the answer a header, whether it succeeds or not, in place of one of the same name.

        Args:
            name: Its name, in lower case.
            value: Its value, without line breaks.

        Raises:
            TypeError: One of them is not of bytes.
            ValueError: One of them would break the answer.
        """
        check_header(name, value)
        headers = self.answer_headers
        if headers is None:
            self.answer_headers = [(name, value)]
            return
        for place, (other, _) in enumerate(headers):
            if other == name:
                headers[place] = (name, value)
                return
        headers.append((name, value))

    def note(self, plugin: str, value: Any) -> None:
        """Leave something for a plugin's own `observe`."""
        if self.notes is None:
            self.notes = {}
        self.notes[plugin] = value


class PredictRequest(msgspec.Struct, frozen=True):
    """What is asked of one version of a model.

    Attributes:
        inputs: The input tensors by name. They are read-only wherever a plugin sees them.
        rows: How many rows they hold.
        record: What is known of the request; plugins may add to it.
        outputs: The outputs that are wanted, in this order; None means all.
        call: What the layer above keeps of this call; not for plugins. `replace` keeps it.
    """

    inputs: dict[str, Array]
    rows: int
    record: RequestRecord
    outputs: tuple[str, ...] | None = None
    call: Any = None

    def replace(self, *, inputs: dict[str, Array], rows: int | None = None) -> PredictRequest:
        """The same request with other inputs, for plugins that change what is asked.

        Args:
            inputs: The input tensors by name.
            rows: How many rows they hold; as many as before if None.
        """
        rows = self.rows if rows is None else rows
        return PredictRequest(inputs, rows, self.record, self.outputs, self.call)


class PredictResponse(msgspec.Struct, frozen=True):
    """What a version answered.

    Attributes:
        outputs: The output tensors by name, in the order of the signature.
        degraded: Why something else answered than what was asked; None for an ordinary answer.
        source: The version that answered in place of the one that was asked; None if none did.
    """

    outputs: dict[str, Array]
    degraded: str | None = None
    source: ModelInfo | None = None

    @property
    def served_by(self) -> str | None:
        """What answered in place of what was asked: ``iris/1``, or ``value``; None for an ordinary answer."""
        if self.source is not None:
            return f"{self.source.name}/{self.source.version}"
        return None if self.degraded is None else "value"


Predict = Callable[[PredictRequest], Awaitable[PredictResponse]]
"""Something that answers predictions: a version, or a plugin around one."""

Respond = Callable[[PredictRequest], PredictResponse | Awaitable[PredictResponse]]
"""Something that answers predictions at once, or else gives what is to be awaited: a chain, on most requests, at once."""

Choose = Callable[[RequestRecord], int]
"""Says which version of a model answers a request that names none, by its number. Called before its body is read."""

Observe = Callable[[Sequence[RequestRecord]], None]
"""Something that takes records of answered requests, many at a time."""


async def answered(answer: PredictResponse | Awaitable[PredictResponse]) -> PredictResponse:
    """What a `Respond` gave, once it is there."""
    return answer if isinstance(answer, PredictResponse) else await answer
