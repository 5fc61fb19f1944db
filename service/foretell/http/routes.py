"""Which prediction, or which description, a path asks for."""

from __future__ import annotations

from typing import Final

import msgspec

from foretell.protocols.endpoint import NATIVE

__all__ = ["MODELS", "Route", "route_of_models"]

MODELS: Final = "/v1/models"
"""The path under which every model has its own."""

_PREDICT: Final = "predict"


class Route(msgspec.Struct, frozen=True, gc=False):
    """What is asked, by its path.

    Attributes:
        path: The path itself, for error bodies.
        protocol: The name of the codec.
        model: The model's name; None for the default model.
        version: The version as the caller wrote it, if one was named.
        alias: The alias, if one was named.
        verb: What is to be done: ``predict``, or None to describe.
        template: The path as it is documented, for traces.
        invalid: The HTTP status of a request that is well-formed, but not what the model takes.
    """

    path: str
    protocol: str
    model: str | None = None
    version: str | None = None
    alias: str | None = None
    verb: str | None = _PREDICT
    template: str = ""
    invalid: int = 422


def route_of_models(rest: str, prefix: str = "") -> Route | None:
    """The route of a path under ``/v1/models``; None if there is none.

    Args:
        rest: What follows ``/v1/models``, for instance ``/iris/versions/2:predict``.
        prefix: What stands before ``/v1/models``.

    Source: TensorFlow Serving RESTful API, URL forms of model status and Predict.
    """
    rest = rest.rstrip("/")
    path = prefix + MODELS + rest
    before, colon, verb = rest.rpartition(":")
    target, asked = (before, verb) if colon else (rest, None)
    suffix = f":{asked}" if asked == _PREDICT else ""
    match target.split("/"):
        case ["", model] if model:
            return Route(path, NATIVE, model, verb=asked, template=f"{MODELS}/{{model}}{suffix}")
        case ["", model, "versions", version] if model and version:
            template = f"{MODELS}/{{model}}/versions/{{version}}{suffix}"
            return Route(path, NATIVE, model, version=version, verb=asked, template=template)
        case ["", model, "labels", alias] if model and alias:
            template = f"{MODELS}/{{model}}/labels/{{alias}}{suffix}"
            return Route(path, NATIVE, model, alias=alias, verb=asked, template=template)
        case _:
            return None
