"""The native protocol, which KServe V1 and TensorFlow Serving share: rows in, rows out; columns in, columns out.

    {"instances": [row, …]}  →  {"predictions": [row, …], "model_name", "model_version", "request_id"}
    {"inputs": columns}      →  {"outputs": {name: tensor, …}, "model_name", "model_version", "request_id"}

Source: KServe data plane V1; TensorFlow Serving RESTful API, row and column format of Predict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from foretell.errors import InvalidInputError, Problem
from foretell.prediction import PredictRequest, PredictResponse, RequestRecord
from foretell.protocols.encoding import json_values
from foretell.protocols.envelope import Envelope
from foretell.protocols.identity import Identity
from foretell.protocols.media import check_json
from foretell.protocols.rows import example_row, json_predictions
from foretell.protocols.schemas import answer_schema, output_tensor_schema, prediction_row_schema

if TYPE_CHECKING:
    from foretell.parser import Parser
    from foretell.protocols.codec import Encode

__all__ = ["NativeCodec"]


class NativeCodec:
    """The native protocol for one version; see `Codec`.

    Args:
        parser: The parser of the version.
        model: The model's name.
        version: The version's number.
        name: The prefix of the generated types' names.
    """

    protocol = "native"

    def __init__(self, parser: Parser, *, model: str, version: int, name: str) -> None:
        self._parser = parser
        self._identity = Identity(model, version)
        fields: list[tuple[str, Any, Any]] = [
            ("inputs", parser.columns | msgspec.UnsetType, msgspec.UNSET),
            ("signature_name", str, "serving_default"),
        ]
        if parser.rows is not None:
            fields.insert(0, ("instances", parser.rows | msgspec.UnsetType, msgspec.UNSET))
        self.request_type = msgspec.defstruct(f"{name}Request", fields, forbid_unknown_fields=True)
        self._envelope = Envelope(self.request_type, parser)

    def check_media(self, content_type: bytes | None) -> None:
        """See `Codec`."""
        check_json(content_type)

    def decode(self, body: bytes, record: RequestRecord) -> tuple[PredictRequest, Encode]:
        """See `Codec`."""
        envelope = self._envelope.read(body)
        instances = getattr(envelope, "instances", msgspec.UNSET)
        columns = envelope.inputs
        if (instances is msgspec.UNSET) is (columns is msgspec.UNSET):
            raise InvalidInputError(Problem("$", self._wanted()))
        if instances is not msgspec.UNSET:
            inputs, rows = self._parser.tensors_of_rows(instances)
            return PredictRequest(inputs, rows, record), self._encode_rows
        inputs, rows = self._parser.tensors_of_columns(columns)
        return PredictRequest(inputs, rows, record), self._encode_columns

    def example(self) -> object | None:
        """See `Codec`."""
        row = None if self._parser.row is None else example_row(self._parser.signature)
        return None if row is None else {"instances": [row]}

    def response_schema(self) -> dict[str, Any]:
        """See `Codec`."""
        signature = self._parser.signature
        tensors = {tensor.name: output_tensor_schema(tensor) for tensor in signature.outputs}
        return answer_schema(
            {
                "predictions": {"type": "array", "items": prediction_row_schema(signature)},
                "outputs": {"type": "object", "properties": tensors, "required": list(tensors)},
            },
            optional=("predictions", "outputs"),
        )

    def _wanted(self) -> str:
        if self._parser.rows is None:
            return "send `inputs`: this model's inputs share no first axis to be rows"
        return "send either `instances` (rows) or `inputs` (columns)"

    def _encode_rows(self, request: PredictRequest, response: PredictResponse) -> bytes:
        predictions = json_predictions(response.outputs, request.rows)
        return self._identity.write({"predictions": predictions}, request, response)

    def _encode_columns(self, request: PredictRequest, response: PredictResponse) -> bytes:
        values = {name: json_values(tensor) for name, tensor in response.outputs.items()}
        return self._identity.write({"outputs": values}, request, response)
