"""The simple protocol: one row or several for the default model, and the answer itself with its confidence.

    {"features": row}         →  {"prediction", "confidence", "model_name", "model_version", "request_id"}
    {"instances": [row, …]}   →  {"predictions": [{"prediction", "confidence"}, …], "count", …}

A model without probabilities gives no confidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from foretell.prediction import PredictRequest, PredictResponse, RequestRecord
from foretell.protocols.encoding import json_rows
from foretell.protocols.envelope import Envelope
from foretell.protocols.identity import Identity
from foretell.protocols.media import check_json
from foretell.protocols.records import json_records, records
from foretell.protocols.rows import example_row, prediction_rows, rows_of
from foretell.protocols.schemas import (
    answer_schema,
    output_element_schema,
    output_row_schema,
    prediction_row_schema,
)

if TYPE_CHECKING:
    from foretell.parser import Parser
    from foretell.protocols.codec import Encode
    from foretell.tensors import Array

__all__ = ["SimpleBatchCodec", "SimpleCodec"]


class _Answers:
    """What both forms of the simple protocol share: the answers of a version, row by row."""

    def __init__(self, parser: Parser, *, model: str, version: int) -> None:
        self._parser = parser
        self.identity = Identity(model, version)
        signature = parser.signature
        self._prediction = signature.prediction
        self._probabilities = signature.probabilities

    def rows(self, request: PredictRequest, response: PredictResponse) -> Any:
        """The prediction of each row and, where the model gives probabilities, the highest as its confidence.

        Returns:
            A form that `encode` writes as a list.
        """
        outputs = response.outputs
        confidence: Array | None = None
        if self._probabilities is not None:
            highest = outputs[self._probabilities].max(axis=1)
            confidence = rows_of(self._probabilities, highest, request.rows)
        if self._prediction is not None:
            prediction = rows_of(self._prediction, outputs[self._prediction], request.rows)
            if confidence is None:
                return json_records({"prediction": prediction}, request.rows)
            return json_records({"prediction": prediction, "confidence": confidence}, request.rows)
        columns = {"prediction": prediction_rows(outputs, request.rows)}
        if confidence is not None:
            columns["confidence"] = json_rows(confidence)
        return records(columns)

    def row_schemas(self) -> dict[str, Any]:
        """The schemas of what `rows` gives."""
        signature = self._parser.signature
        outputs = {tensor.name: tensor for tensor in signature.outputs}
        prediction = (
            prediction_row_schema(signature)
            if self._prediction is None
            else output_row_schema(outputs[self._prediction])
        )
        if self._probabilities is None:
            return {"prediction": prediction}
        return {
            "prediction": prediction,
            "confidence": output_element_schema(outputs[self._probabilities]),
        }


class SimpleCodec:
    """``POST /predict`` for one version; see `Codec`."""

    protocol = "simple"

    def __init__(self, parser: Parser, *, model: str, version: int, name: str) -> None:
        self._parser = parser
        self._answers = _Answers(parser, model=model, version=version)
        self.request_type = msgspec.defstruct(
            f"{name}Features", [("features", parser.row)], forbid_unknown_fields=True
        )
        self._envelope = Envelope(self.request_type, parser, parser.capacity(1))

    def check_media(self, content_type: bytes | None) -> None:
        """See `Codec`."""
        check_json(content_type)

    def decode(self, body: bytes, record: RequestRecord) -> tuple[PredictRequest, Encode]:
        """See `Codec`."""
        features = self._envelope.read(body).features
        inputs, rows = self._parser.tensors_of_rows([features], "$.features")
        return PredictRequest(inputs, rows, record), self._encode

    def example(self) -> object | None:
        """See `Codec`."""
        row = example_row(self._parser.signature)
        return None if row is None else {"features": row}

    def response_schema(self) -> dict[str, Any]:
        """See `Codec`."""
        return answer_schema(self._answers.row_schemas())

    def _encode(self, request: PredictRequest, response: PredictResponse) -> bytes:
        return self._answers.identity.write(self._answers.rows(request, response)[0], request, response)


class SimpleBatchCodec:
    """``POST /predict/batch`` for one version; see `Codec`."""

    protocol = "simple"

    def __init__(self, parser: Parser, *, model: str, version: int, name: str) -> None:
        self._parser = parser
        self._answers = _Answers(parser, model=model, version=version)
        self.request_type = msgspec.defstruct(
            f"{name}Batch", [("instances", parser.rows)], forbid_unknown_fields=True
        )
        self._envelope = Envelope(self.request_type, parser)

    def check_media(self, content_type: bytes | None) -> None:
        """See `Codec`."""
        check_json(content_type)

    def decode(self, body: bytes, record: RequestRecord) -> tuple[PredictRequest, Encode]:
        """See `Codec`."""
        instances = self._envelope.read(body).instances
        inputs, rows = self._parser.tensors_of_rows(instances)
        return PredictRequest(inputs, rows, record), self._encode

    def example(self) -> object | None:
        """See `Codec`."""
        row = None if self._parser.row is None else example_row(self._parser.signature)
        return None if row is None else {"instances": [row]}

    def response_schema(self) -> dict[str, Any]:
        """See `Codec`."""
        row = self._answers.row_schemas()
        items = {"type": "object", "properties": row, "required": list(row)}
        return answer_schema(
            {"predictions": {"type": "array", "items": items}, "count": {"type": "integer", "minimum": 1}}
        )

    def _encode(self, request: PredictRequest, response: PredictResponse) -> bytes:
        predictions = self._answers.rows(request, response)
        answer = {"predictions": predictions, "count": request.rows}
        return self._answers.identity.write(answer, request, response)
