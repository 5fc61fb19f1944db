"""The JSON schemas of requests and answers, for OpenAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretell.protocols.schemas import output_element_schema
from foretell.protocols.v2.datatypes import DATATYPES

if TYPE_CHECKING:
    from foretell.signature import Signature, Tensor

__all__ = ["infer_request_schema", "infer_response_schema"]

_PARAMETERS: dict[str, Any] = {"type": "object"}


def infer_request_schema(signature: Signature) -> dict[str, Any]:
    """The schema of a request: each input by its name, type and shape."""
    inputs = [
        {**_tensor_schema(tensor, {"type": "array"}), "title": f"input {tensor.name}"}
        for tensor in signature.inputs
    ]
    outputs = {
        "type": "object",
        "properties": {
            "name": {"enum": [tensor.name for tensor in signature.outputs]},
            "parameters": _PARAMETERS,
        },
        "required": ["name"],
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "inputs": {
                "type": "array",
                "items": inputs[0] if len(inputs) == 1 else {"oneOf": inputs},
                "minItems": len(inputs),
                "maxItems": len(inputs),
            },
            "outputs": {"type": "array", "items": outputs},
        },
        "required": ["inputs"],
    }


def infer_response_schema(signature: Signature) -> dict[str, Any]:
    """The schema of an answer."""
    outputs = [
        _tensor_schema(tensor, {"type": "array", "items": output_element_schema(tensor)})
        for tensor in signature.outputs
    ]
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "model_name": text,
            "model_version": text,
            "id": text,
            "parameters": _PARAMETERS,
            "outputs": {"type": "array", "items": outputs[0] if len(outputs) == 1 else {"oneOf": outputs}},
        },
        "required": ["model_name", "model_version", "outputs"],
    }


def _tensor_schema(tensor: Tensor, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "name": {"const": tensor.name},
            "datatype": {"const": DATATYPES[tensor.dtype]},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "minItems": len(tensor.shape),
                "maxItems": len(tensor.shape),
            },
            "parameters": _PARAMETERS,
            "data": data,
        },
        "required": ["name", "shape", "datatype", "data"],
    }
