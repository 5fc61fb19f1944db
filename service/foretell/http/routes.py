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
    """

    path: str
    protocol: str
    model: str | None = None
    version: str | None = None
    alias: str | None = None
    verb: str | None = _PREDICT


def route_of_models(rest: str) -> Route | None:
    """The route of a path under ``/v1/models``; None if there is none.

    Args:
        rest: What follows ``/v1/models``, for instance ``/iris/versions/2:predict``.

    Source: TensorFlow Serving RESTful API, URL forms of model status and Predict.
    """
    path = MODELS + rest.rstrip("/")
    before, colon, verb = path.rpartition(":")
    target, asked = (before, verb) if colon else (path, None)
    match target.removeprefix(MODELS).split("/"):
        case ["", model] if model:
            return Route(path, NATIVE, model, verb=asked)
        case ["", model, "versions", version] if model and version:
            return Route(path, NATIVE, model, version=version, verb=asked)
        case ["", model, "labels", alias] if model and alias:
            return Route(path, NATIVE, model, alias=alias, verb=asked)
        case _:
            return None
