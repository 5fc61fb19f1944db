from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnx import ModelProto
from skl2onnx import _parse as _parse
from skl2onnx.common.data_types import DataType

__version__: str

def to_onnx(
    model: Any,
    X: Any = None,
    name: str | None = None,
    initial_types: Sequence[tuple[str, DataType]] | None = None,
    target_opset: Mapping[str, int] | int | None = None,
    options: Mapping[Any, Any] | None = None,
    white_op: set[str] | None = None,
    black_op: set[str] | None = None,
    final_types: Sequence[tuple[str, DataType]] | None = None,
    dtype: Any = None,
    naming: str | Callable[[Any, Any], str] | None = None,
    model_optim: bool = True,
    verbose: int = 0,
) -> ModelProto: ...
def convert_sklearn(
    model: Any,
    name: str | None = None,
    initial_types: Sequence[tuple[str, DataType]] | None = None,
    doc_string: str = "",
    target_opset: Mapping[str, int] | int | None = None,
    custom_conversion_functions: Mapping[Any, Any] | None = None,
    custom_shape_calculators: Mapping[Any, Any] | None = None,
    custom_parsers: Mapping[Any, Any] | None = None,
    options: Mapping[Any, Any] | None = None,
    intermediate: bool = False,
    white_op: set[str] | None = None,
    black_op: set[str] | None = None,
    final_types: Sequence[tuple[str, DataType]] | None = None,
    dtype: Any = None,
    naming: str | Callable[[Any, Any], str] | None = None,
    model_optim: bool = True,
    verbose: int = 0,
) -> Any: ...  # a ModelProto, or (ModelProto, Topology) with intermediate
def update_registered_converter(
    model: type[Any],
    alias: str,
    shape_fct: Callable[[Any], None],
    convert_fct: Callable[[Any, Any, Any], None],
    overwrite: bool = True,
    parser: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> None: ...
def update_registered_parser(model: type[Any], parser_fct: Callable[..., Any]) -> None: ...
def supported_converters(from_sklearn: bool = False) -> list[str]: ...
def get_latest_tested_opset_version() -> int: ...
def get_model_alias(model_type: type[Any]) -> str: ...
