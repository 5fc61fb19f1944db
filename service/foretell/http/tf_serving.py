"""What a model takes and gives, as TensorFlow Serving tells it.

Source: TensorFlow Serving RESTful API, model metadata: the JSON form of ``GetModelMetadataResponse``, whose 64-bit
numbers are texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from foretell.prediction import ModelInfo
    from foretell.signature import Tensor
    from foretell.tensors import DTypeName

__all__ = ["SignatureDocument", "signature_document"]

_DTYPES: Final[dict[DTypeName, str]] = {
    "bool": "DT_BOOL",
    "int8": "DT_INT8",
    "int16": "DT_INT16",
    "int32": "DT_INT32",
    "int64": "DT_INT64",
    "uint8": "DT_UINT8",
    "uint16": "DT_UINT16",
    "uint32": "DT_UINT32",
    "uint64": "DT_UINT64",
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "string": "DT_STRING",
}
_SIGNATURE: Final = "serving_default"
_METHOD: Final = "tensorflow/serving/predict"


class ModelSpec(msgspec.Struct, frozen=True):
    """Which version is told of.

    Attributes:
        name: The model's name.
        version: The version's number.
        signature_name: Always empty.
    """

    name: str
    version: str
    signature_name: str = ""


class SignatureDocument(msgspec.Struct, frozen=True):
    """What a version takes and gives.

    Attributes:
        model_spec: Which version.
        metadata: Its signatures: the one there is.
    """

    model_spec: ModelSpec
    metadata: dict[str, Any]


def signature_document(info: ModelInfo) -> SignatureDocument:
    """Tell what a version takes and gives."""
    signature = {
        "inputs": {tensor.name: _tensor(tensor) for tensor in info.signature.inputs},
        "outputs": {tensor.name: _tensor(tensor) for tensor in info.signature.outputs},
        "method_name": _METHOD,
    }
    return SignatureDocument(
        ModelSpec(info.name, str(info.version)),
        {"signature_def": {"signature_def": {_SIGNATURE: signature}}},
    )


def _tensor(tensor: Tensor) -> dict[str, Any]:
    axes = [{"size": str(length), "name": ""} for length in tensor.lengths]
    return {
        "name": tensor.name,
        "dtype": _DTYPES[tensor.dtype],
        "tensor_shape": {"dim": axes, "unknown_rank": False},
    }
