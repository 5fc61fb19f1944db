"""A loaded version as it is served: its codecs and the way to its predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.protocols.native import NativeCodec
from foretell.protocols.simple import SimpleBatchCodec, SimpleCodec

if TYPE_CHECKING:
    from foretell.engine.version import ModelInfo, Version
    from foretell.prediction import Predict
    from foretell.protocols.codec import Codec

__all__ = ["NATIVE", "SIMPLE", "SIMPLE_BATCH", "Endpoint"]

NATIVE = "native"
SIMPLE = "simple"
SIMPLE_BATCH = "simple-batch"


class Endpoint:
    """A loaded version as it is served.

    Attributes:
        info: What is known of the version.
        codecs: By the name of a route's protocol; a simple one is absent where the model cannot answer one row, or rows.
        headers: The response headers that say what answered.
        predict: The chain that answers, with the version at its end.
    """

    def __init__(self, version: Version) -> None:
        self.info: ModelInfo = version.info
        self.predict: Predict = version.predict
        name, number, parser = version.info.name, version.info.version, version.parser
        self.headers = [(b"x-model-name", name.encode()), (b"x-model-version", str(number).encode())]
        self.codecs: dict[str, Codec] = {
            NATIVE: NativeCodec(parser, model=name, version=number, name=f"{name}.{number}.")
        }
        if parser.row is not None:
            self.codecs[SIMPLE] = SimpleCodec(parser, model=name, version=number, name=f"{name}.{number}.")
        if parser.rows is not None:
            self.codecs[SIMPLE_BATCH] = SimpleBatchCodec(
                parser, model=name, version=number, name=f"{name}.{number}."
            )
