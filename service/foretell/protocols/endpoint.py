"""A loaded version as it is served: its codecs and the way to its predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from foretell.engine.stand_in import StandIn
from foretell.engine.use import Use
from foretell.errors import InvalidInputError, Problem
from foretell.protocols.deadlines import Deadlines
from foretell.protocols.invocations import InvocationsCodec
from foretell.protocols.native import NativeCodec
from foretell.protocols.simple import SimpleBatchCodec, SimpleCodec
from foretell.protocols.v2.codec import V2Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foretell.engine.version import Version
    from foretell.plugin.chain import Chain
    from foretell.prediction import Choose, ModelInfo, PredictRequest, PredictResponse, Respond
    from foretell.protocols.codec import Codec

Together: TypeAlias = "Callable[[Sequence[PredictRequest]], list[PredictResponse | None]]"

__all__ = ["GRPC", "INVOCATIONS", "NATIVE", "SIMPLE", "SIMPLE_BATCH", "V2", "Endpoint", "identity_headers"]

NATIVE = "native"
INVOCATIONS = "invocations"
SIMPLE = "simple"
SIMPLE_BATCH = "simple-batch"
V2 = "v2"
GRPC = "grpc"


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
        respond: The whole chain.
        staged: The chain in steps; None if no plugin goes around the version, or one cannot be gone through in steps.
        respond_together: Runs the version once for several requests, as far as they fit into one run; None where that
            would change an answer, or a plugin has to go around each.
        deadlines: How long its callers wait.
        choose: Says which version answers in its place, where it is the default; None if no plugin chooses.
        stands_in: Whether the version itself does not serve, and only plugins can answer for it.
        use: The requests that hold it.

    Args:
        version: The version, or what stands in its place.
        chain: Its chain.
        deadlines: How long its callers wait; for ever if None.
        rpc: Whether it is asked over gRPC too.
    """

    def __init__(
        self,
        version: Version | StandIn,
        chain: Chain,
        deadlines: Deadlines | None = None,
        *,
        rpc: bool = False,
    ) -> None:
        self.deadlines = deadlines or Deadlines()
        self.info: ModelInfo = version.info
        self.chain = chain
        self.respond: Respond = chain.respond
        self.choose: Choose | None = chain.choose
        self.staged = chain.staged
        self.respond_together: Together | None = None
        in_steps = self.staged is not None or not chain.wrapped
        if not isinstance(version, StandIn) and version.loop_rows > 1 and in_steps:
            self.respond_together = version.respond_together
        self.stands_in = isinstance(version, StandIn)
        self._version = version
        self.use = Use()
        name, number, parser = version.info.name, version.info.version, version.parser
        self.headers = identity_headers(version.info)
        self.codecs: dict[str, Codec] = {
            NATIVE: NativeCodec(parser, model=name, version=number, name=f"{name}.{number}."),
            INVOCATIONS: InvocationsCodec(parser, model=name, version=number, name=f"{name}.{number}."),
            V2: V2Codec(parser, model=name, version=number, deadlines=self.deadlines),
        }
        if parser.row is not None:
            self.codecs[SIMPLE] = SimpleCodec(parser, model=name, version=number, name=f"{name}.{number}.")
        if parser.rows is not None:
            self.codecs[SIMPLE_BATCH] = SimpleBatchCodec(
                parser, model=name, version=number, name=f"{name}.{number}."
            )

        if rpc:  # it needs protobuf
            from foretell.protocols.rpc.codec import RpcCodec

            self.codecs[GRPC] = RpcCodec(parser, model=name, version=number, deadlines=self.deadlines)

    def codec(self, protocol: str, content_type: bytes | None) -> Codec:
        """The codec of a protocol, for a body that is said to be of a type.

        Raises:
            InvalidInputError: The model cannot answer in that protocol.
            UnsupportedMediaError: The protocol has no such bodies.
        """
        codec = self.codecs.get(protocol)
        if codec is None:
            message = f"model {self.info.name!r} does not answer one row at a time; send `inputs` to /v1/models/{self.info.name}:predict"
            raise InvalidInputError(Problem("$", message))
        codec.check_media(content_type)
        return codec

    def waiting_rows(self) -> int:
        """How many rows wait for a run."""
        return 0 if isinstance(self._version, StandIn) else self._version.waiting_rows
