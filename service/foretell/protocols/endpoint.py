"""A loaded version as it is served: its codecs and the way to its predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretell.engine.stand_in import StandIn
from foretell.engine.use import Use
from foretell.protocols.native import NativeCodec
from foretell.protocols.simple import SimpleBatchCodec, SimpleCodec

if TYPE_CHECKING:
    from foretell.engine.version import Version
    from foretell.plugin.chain import Chain
    from foretell.prediction import ModelInfo, Predict
    from foretell.protocols.codec import Codec

__all__ = ["NATIVE", "SIMPLE", "SIMPLE_BATCH", "Endpoint", "identity_headers"]

NATIVE = "native"
SIMPLE = "simple"
SIMPLE_BATCH = "simple-batch"


def identity_headers(info: ModelInfo) -> list[tuple[bytes, bytes]]:
    """The response headers that say which version answered."""
    return [(b"x-model-name", info.name.encode()), (b"x-model-version", str(info.version).encode())]


class Endpoint:
    """A loaded version as it is served.

    Attributes:
        info: What is known of the version.
        codecs: By the name of a route's protocol; a simple one is absent where the model cannot answer one row, or rows.
        headers: The response headers that say what answered.
        chain: The plugins around the version, with the version at their end.
        predict: The whole chain.
        stands_in: Whether the version itself does not serve, and only plugins can answer for it.
        use: The requests that hold it.

    Args:
        version: The version, or what stands in its place.
        chain: Its chain.
    """

    def __init__(self, version: Version | StandIn, chain: Chain) -> None:
        self.info: ModelInfo = version.info
        self.chain = chain
        self.predict: Predict = chain.predict
        self.stands_in = isinstance(version, StandIn)
        self.use = Use()
        name, number, parser = version.info.name, version.info.version, version.parser
        self.headers = identity_headers(version.info)
        self.codecs: dict[str, Codec] = {
            NATIVE: NativeCodec(parser, model=name, version=number, name=f"{name}.{number}.")
        }
        if parser.row is not None:
            self.codecs[SIMPLE] = SimpleCodec(parser, model=name, version=number, name=f"{name}.{number}.")
        if parser.rows is not None:
            self.codecs[SIMPLE_BATCH] = SimpleBatchCodec(
                parser, model=name, version=number, name=f"{name}.{number}."
            )
