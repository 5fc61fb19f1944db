"""The answer to a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from foretell.client.answers import Reply, json_of
from foretell.client.errors import UnexpectedAnswerError
from foretell.client.json_values import is_list, is_object

__all__ = ["Prediction"]


@dataclass(frozen=True)
class Prediction:
    """What a model answered, and which of its versions did.

    Numbers that are not finite are the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, as the server writes them.

    Attributes:
        rows: The answer as it came where rows were asked; None where columns were.
        columns: The answer as it came where columns were asked; None where rows were.
        model_name: The model that answered.
        model_version: Its version that answered.
        request_id: The identity of the request.
        degraded: Whether something else answered than what was asked.
        degraded_reason: Why, for instance ``timeout``; None for an ordinary answer.
        served_by: What answered in its place, for instance ``iris/1``, or ``value``; None for an ordinary answer.
        cache: What the server's cache did: ``hit``, ``miss``, ``coalesced`` or ``bypass``; None if it was not asked.
    """

    rows: list[Any] | None
    columns: dict[str, Any] | None
    model_name: str
    model_version: str
    request_id: str
    degraded: bool = False
    degraded_reason: str | None = None
    served_by: str | None = None
    cache: str | None = None

    @classmethod
    def of(cls, reply: Reply) -> Self:
        """Read an answer of the native protocol.

        Raises:
            UnexpectedAnswerError: It is none.
        """
        answer = json_of(reply)
        rows, columns = answer.get("predictions"), answer.get("outputs")
        if not is_list(rows) and not is_object(columns):
            members = ", ".join(map(repr, answer)) or "no members"
            raise UnexpectedAnswerError(
                f"expected predictions, got an object with {members}: is the base URL right?",
                status=reply.status,
            )
        return cls(
            rows if is_list(rows) else None,
            columns if is_object(columns) else None,
            str(answer.get("model_name", "")),
            str(answer.get("model_version", "")),
            str(answer.get("request_id", "")),
            degraded=answer.get("degraded") is True,
            degraded_reason=reply.headers.get("x-foretell-degraded"),
            served_by=answer.get("served_by"),
            cache=reply.headers.get("x-foretell-cache"),
        )

    @cached_property
    def predictions(self) -> list[Any]:
        """For each row the value of the one output, or a dict of the values by output, whatever was asked.

        Raises:
            LookupError: Columns were asked, and some output has not one value for each row: see `columns`.
        """
        if self.rows is not None:
            return self.rows
        outputs = self.outputs
        columns = [_narrowed(values) for values in outputs.values() if is_list(values)]
        if len(columns) < len(outputs) or len({len(values) for values in columns}) != 1:
            raise LookupError(
                f"the outputs of {self.model_name!r} have not one value for each row: see `columns`"
            )
        if len(columns) == 1:
            return columns[0]
        return [dict(zip(outputs, values, strict=True)) for values in zip(*columns, strict=True)]

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """For each output its values, by name, whatever was asked.

        Raises:
            LookupError: Rows were asked of a model with one output, which that answer does not name: see `predictions`.
        """
        if self.columns is not None:
            return self.columns
        rows = self.rows or []
        if not rows or not all(map(is_object, rows)):
            message = f"the answer of {self.model_name!r} does not name its one output: see `predictions`, or ask with columns"
            raise LookupError(message)
        return {name: [row[name] for row in rows] for name in rows[0]}

    @property
    def labels(self) -> list[Any]:
        """The class, cluster or verdict of each row.

        Raises:
            LookupError: The answer has none, or does not name it.
        """
        return self._output("label")

    @property
    def probabilities(self) -> list[list[float]]:
        """The probability of each class for each row, in the order of the signature's `classes`.

        Raises:
            LookupError: The answer has none, or does not name it.
        """
        return self._output("probabilities")

    def _output(self, name: str) -> list[Any]:
        if name not in self.outputs:
            named = ", ".join(map(repr, self.outputs))
            raise LookupError(f"the answer of {self.model_name!r} has no output {name!r}, but {named}")
        values: list[Any] = self.outputs[name]
        return values


def _narrowed(values: list[Any]) -> list[Any]:
    """The values of an output as the server gives them where rows are asked: what has width one is a scalar there."""
    scalars = all(is_list(item) and len(item) == 1 and not is_list(item[0]) for item in values)
    return [item[0] for item in values] if scalars else values
