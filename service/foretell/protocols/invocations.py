"""What MLflow's scoring server, SageMaker and Vertex AI send to one path: rows in one of four forms, or CSV.

    {"dataframe_split": {"columns": […], "data": [row, …]}}
    {"dataframe_records": [record, …]}      →  {"predictions": [prediction, …], …}
    {"instances": [row, …]}
    {"inputs": columns}

The predictions are what the original estimator's `predict` gives: the answer alone, without probabilities.

Source: MLflow, REST API of the scoring server; Vertex AI, custom container requirements; SageMaker, common data
formats for inference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from foretell.errors import InvalidInputError, MalformedError, Problem, RequestError, UnsupportedMediaError
from foretell.parser import Capacity
from foretell.prediction import PredictRequest, PredictResponse, RequestRecord
from foretell.protocols.csv_rows import positions, rows_of_csv
from foretell.protocols.encoding import json_values
from foretell.protocols.envelope import Envelope
from foretell.protocols.identity import Identity
from foretell.protocols.json_body import decode_json
from foretell.protocols.media import check_json, is_csv
from foretell.protocols.rows import example_row, json_predictions, rows_of
from foretell.protocols.schemas import answer_schema

if TYPE_CHECKING:
    from foretell.parser import Parser
    from foretell.protocols.codec import Encode

__all__ = ["InvocationsCodec"]

T = TypeVar("T")

_FORMS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table as pandas writes it with ``orient="split"``.

    Attributes:
        data: Its rows.
        columns: The names of its columns; if there are none, those of the model in their order.
        index: The names of its rows; nothing depends on them.
    """

    data: msgspec.Raw
    columns: list[str | int | float] | None = None
    index: Any = None


_SPLIT: Final = msgspec.json.Decoder(Split)
_RECORDS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ROWS: Final = msgspec.json.Decoder(list[list[msgspec.Raw]])


class InvocationsCodec:
    """The forms for one version; see `Codec`.

    Args:
        parser: The parser of the version.
        model: The model's name.
        version: The version's number.
        name: The prefix of the generated types' names.
    """

    protocol = "invocations"

    def __init__(self, parser: Parser, *, model: str, version: int, name: str) -> None:
        self._parser = parser
        self._identity = Identity(model, version)
        self._names = [column.name for column in parser.signature.columns]
        rows: Any = Any if parser.rows is None else parser.rows
        unset = msgspec.UnsetType
        self.request_type = msgspec.defstruct(
            f"{name}Invocations",
            [
                ("dataframe_split", msgspec.Raw | unset, msgspec.UNSET),
                ("dataframe_records", msgspec.Raw | unset, msgspec.UNSET),
                ("instances", rows | unset, msgspec.UNSET),
                ("inputs", parser.columns | unset, msgspec.UNSET),
                ("params", Any, None),
                ("parameters", Any, None),
                ("signature_name", Any, None),
            ],
            forbid_unknown_fields=True,
        )
        table_type = msgspec.defstruct(f"{name}Table", [("data", rows)], forbid_unknown_fields=True)
        self._envelope = Envelope(self.request_type, parser, _with_more(parser.capacity()))
        self._table = Envelope(table_type, parser, _with_more(parser.capacity()))

    def check_media(self, content_type: bytes | None) -> None:
        """See `Codec`."""
        if not is_csv(content_type):
            try:
                check_json(content_type)
            except UnsupportedMediaError as error:
                raise UnsupportedMediaError(f"{error}, or text/csv") from None

    def decode(self, body: bytes, record: RequestRecord) -> tuple[PredictRequest, Encode]:
        """See `Codec`."""
        if is_csv(record.header(b"content-type")):
            self._check_rows()
            table = rows_of_csv(body, self._parser.signature, max_rows=self._parser.max_rows)
            return self._of_rows(self._typed(msgspec.json.encode(table), "$"), record, "$[{}]")
        envelope = self._read(body)
        found = [form for form in _FORMS if getattr(envelope, form) is not msgspec.UNSET]
        if len(found) != 1:
            given = " and ".join(f"`{form}`" for form in found) or "none of them"
            message = f"send exactly one of {', '.join(f'`{form}`' for form in _FORMS)}, got {given}"
            raise InvalidInputError(Problem("$", message))
        form = found[0]
        if form == "inputs":
            inputs, rows = self._parser.tensors_of_columns(envelope.inputs)
            return PredictRequest(inputs, rows, record), self._encode
        self._check_rows()
        if form == "dataframe_split":
            table = self._rows_of_split(bytes(envelope.dataframe_split))
            return self._of_rows(table, record, "$.dataframe_split.data[{}]")
        if form == "dataframe_records":
            table = self._rows_of_records(bytes(envelope.dataframe_records))
            return self._of_rows(table, record, "$.dataframe_records[{}]")
        return self._of_rows(getattr(envelope, form), record, f"$.{form}[{{}}]")

    def example(self) -> object | None:
        """See `Codec`."""
        row = None if self._parser.row is None else example_row(self._parser.signature)
        return None if row is None else {"instances": [row]}

    def response_schema(self) -> dict[str, Any]:
        """See `Codec`."""
        return answer_schema({"predictions": {}})

    def _check_rows(self) -> None:
        if self._parser.rows is None:
            raise InvalidInputError(
                Problem("$", "send `inputs`: this model's inputs share no first axis to be rows")
            )

    def _of_rows(self, rows: Any, record: RequestRecord, at: str) -> tuple[PredictRequest, Encode]:
        inputs, count = self._parser.tensors_of_rows(rows, at)
        return PredictRequest(inputs, count, record), self._encode

    def _read(self, body: bytes) -> Any:
        try:
            return self._envelope.read(body)
        except RequestError as error:
            if body.lstrip()[:1] in {b"{", b"["}:
                raise
            raise MalformedError(f"{error}; a table wants Content-Type: text/csv") from error

    def _rows_of_split(self, body: bytes) -> Any:
        """The rows of a table, in the order of the model's columns; those that it does not take are left out."""
        at = "$.dataframe_split"
        try:
            split = decode_json(_SPLIT, body)
        except InvalidInputError as error:
            raise _moved(error, "$", at) from None
        if not self._names or split.columns in (None, self._names):
            return self._typed(bytes(split.data), f"{at}.data")
        try:
            order = positions(self._names, split.columns or [])
        except InvalidInputError as error:
            raise _moved(error, "$", f"{at}.columns") from None
        rows = _decoded(_ROWS, bytes(split.data), f"{at}.data", "expected a list of rows")
        width = len(split.columns or [])
        for number, row in enumerate(rows):
            if len(row) != width:
                message = f"expected {width} values, one for each of `columns`, got {len(row)}"
                raise InvalidInputError(Problem(f"{at}.data[{number}]", message))
        records = [{name: row[place] for name, place in zip(self._names, order, strict=True)} for row in rows]
        return self._typed(msgspec.json.encode(records), f"{at}.data")

    def _rows_of_records(self, body: bytes) -> Any:
        """The rows of a table, each an object; what the model does not take is left out."""
        at = "$.dataframe_records"
        if self._names:
            known = frozenset(self._names)
            rows = _decoded(_RECORDS, body, at, "expected a list of objects")
            if not all(known.issuperset(row) for row in rows):
                rows = [{name: value for name, value in row.items() if name in known} for row in rows]
                body = msgspec.json.encode(rows)
        return self._typed(body, at)

    def _typed(self, rows: bytes, at: str) -> Any:
        """Rows of JSON as the parser takes them."""
        try:
            return self._table.read(b'{"data":' + rows + b"}").data
        except InvalidInputError as error:
            raise _moved(error, "$.data", at) from None

    def _encode(self, request: PredictRequest, response: PredictResponse) -> bytes:
        outputs = response.outputs
        name = self._parser.signature.prediction
        if self._parser.rows is None:
            values = {name: json_values(tensor) for name, tensor in outputs.items()}
            predictions: Any = next(iter(values.values())) if len(values) == 1 else values
        elif name is None or name not in outputs:
            predictions = json_predictions(outputs, request.rows)
        else:
            predictions = json_values(rows_of(name, outputs[name], request.rows))
        return self._identity.write({"predictions": predictions}, request, response)


def _with_more(capacity: Capacity) -> Capacity:
    """What a table can hold: also names of rows, and as many columns again that the model does not take."""
    values = capacity.values
    return Capacity(capacity.rows, capacity.lists, None if values is None else 2 * values + capacity.rows)


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes, at: str, message: str) -> T:
    """What is read only to be put in order, its values unread.

    Raises:
        InvalidInputError: It has another form.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInputError(Problem(at, message)) from error


def _moved(error: InvalidInputError, before: str, after: str) -> InvalidInputError:
    """The same complaint, about another place."""
    return InvalidInputError(
        *(Problem(after + place.removeprefix(before), message) for place, message in error.problems)
    )
