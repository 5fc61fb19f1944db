"""The answers of the Open Inference Protocol as its OpenAPI description has them, as JSON schemas.

Source: open_inference_rest.yaml of kserve/open-inference-protocol, component schemas; retold, without its texts.
"""

from __future__ import annotations

from typing import Any

from tests.json_schemas import check

__all__ = ["conform"]

_TEXT = {"type": "string"}
_SHAPE = {"type": "array", "items": {"type": "integer"}}
_TENSOR = {"name": _TEXT, "datatype": _TEXT, "shape": _SHAPE}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


_DEFINITIONS: dict[str, Any] = {
    "data": {
        "type": "array",
        "items": {
            "anyOf": [{"$ref": "#/$defs/data"}, {"type": "number"}, {"type": "string"}, {"type": "boolean"}]
        },
    }
}
_METADATA_TENSORS = {"type": "array", "items": _object("name datatype shape", **_TENSOR)}
_OUTPUT = _object(
    "name shape datatype data", **_TENSOR, parameters={"type": "object"}, data={"$ref": "#/$defs/data"}
)
_SCHEMAS: dict[str, dict[str, Any]] = {
    "metadata_server_response": _object(
        "name version extensions", name=_TEXT, version=_TEXT, extensions={"type": "array", "items": _TEXT}
    ),
    "metadata_model_response": _object(
        "name platform",
        name=_TEXT,
        platform=_TEXT,
        versions={"type": "array", "items": _TEXT},
        inputs=_METADATA_TENSORS,
        outputs=_METADATA_TENSORS,
    ),
    "inference_response": _object(
        "model_name outputs",
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters={"type": "object"},
        outputs={"type": "array", "items": _OUTPUT},
    ),
    "inference_error_response": _object("error", error=_TEXT),
}


def conform(name: str, value: object) -> None:
    """Check that an answer is as the description has it; raises what jsonschema raises where it is not."""
    check(value, {**_SCHEMAS[name], "$defs": _DEFINITIONS})
