from typing import Any

def _parse_sklearn(
    scope: Any, model: Any, inputs: Any, custom_parsers: Any = None, alias: str | None = None
) -> Any: ...
def _parse_sklearn_simple_model(
    scope: Any, model: Any, inputs: Any, custom_parsers: Any = None, alias: str | None = None
) -> Any: ...
