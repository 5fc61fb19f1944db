"""From a version's folder to a version that answers: checked, opened, warmed up and measured."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from foretell.engine.batching import choose_batching
from foretell.engine.extent import extent, rows_differ
from foretell.engine.graph_signature import graph_signature
from foretell.engine.lane import Lane, LaneRules
from foretell.engine.memory import trim
from foretell.engine.plan import make_plan
from foretell.engine.pool import Pool
from foretell.engine.session import Session
from foretell.engine.shared_weights import LEAST_BYTES, Opened, Refused, SharedWeights, Weights
from foretell.engine.stand_in import StandIn
from foretell.engine.trial_inputs import trial_inputs, varied
from foretell.engine.version import Version
from foretell.engine.warm_up import completed, measure
from foretell.errors import IntegrityError, RunError, StoreError
from foretell.parser import Parser
from foretell.prediction import ModelInfo
from foretell.store.artifact import read_artifact, read_manifest
from foretell.store.manifest import MODEL_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from foretell.engine.attempt import Stop
    from foretell.engine.outputs import Output
    from foretell.parser import Tensors
    from foretell.settings import LimitSettings, Settings
    from foretell.signature import Dimension, Signature, Tensor
    from foretell.store.artifact import Artifact
    from foretell.store.model_config import ModelConfig

__all__ = ["Loader"]

_TRIAL_ROWS: Final = 3
"""Rows on which a session with shared weights is compared with one without."""


class Loader(msgspec.Struct, frozen=True):
    """How versions are loaded.

    Attributes:
        max_file_bytes: The greatest size of one file of a version, bytes.
        intra_op_threads: How many threads one run may use inside an operator.
        pool: The threads that run what does not happen on the event loop.
        limits: The server's limits, where model.toml does not say.
        inline_us: Runs expected to be shorter than this happen on the event loop, µs.
        memory_arena: Whether runs keep the memory that they have used for those that follow.
        timeout_s: How long one version may take, seconds.
        share_weights: Whether large weights are shared between processes, where model.toml does not say.
        shared: Where other processes find them; None where there are no others.
    """

    max_file_bytes: int
    intra_op_threads: int
    pool: Pool
    limits: LimitSettings
    inline_us: float
    memory_arena: bool = True
    timeout_s: float = 120.0
    share_weights: bool = True
    shared: SharedWeights | None = None

    @classmethod
    def of(cls, settings: Settings, shared_weights: Path | None = None) -> Loader:
        """The loader that a server of these settings uses.

        Args:
            settings: The settings.
            shared_weights: The folder that its workers share; None if it has no workers.
        """
        return cls(
            max_file_bytes=settings.store.max_file_bytes,
            intra_op_threads=settings.engine.intra_op_threads,
            pool=Pool(make_plan(settings).run_threads),
            limits=settings.limits,
            inline_us=settings.engine.inline_us,
            memory_arena=settings.engine.memory_arena,
            timeout_s=settings.engine.load_timeout_s,
            share_weights=settings.engine.share_weights,
            shared=None if shared_weights is None else SharedWeights(shared_weights),
        )

    def load(
        self,
        name: str,
        version: int,
        folder: Path,
        config: ModelConfig,
        *,
        stop: Stop | None = None,
    ) -> Version:
        """Load a version. It takes as long as reading the files and some dozen runs of the model; call it in a thread.

        Args:
            name: The model's name.
            version: The version's number.
            folder: The version's folder.
            config: What the team decided about the model.
            stop: Ends the loading when nobody waits for it any longer.

        Raises:
            StoreError: The version cannot be used; the message says why.
        """
        loaded, file_bytes = self._load(name, version, folder, config, stop)
        if max(file_bytes, loaded.weights.size_bytes) >= LEAST_BYTES:  # what reading it took is free now
            trim()
        return loaded

    def _load(
        self, name: str, version: int, folder: Path, config: ModelConfig, stop: Stop | None
    ) -> tuple[Version, int]:
        """Load a version; also the length of its model file, bytes."""
        began_ns = time.perf_counter_ns()
        artifact = read_artifact(folder, max_bytes=self.max_file_bytes)
        opened = self._open(name, version, artifact, config, stop)
        try:
            loaded = self._prove(name, version, opened, artifact, config, began_ns=began_ns, stop=stop)
        except BaseException:
            opened.close()
            raise
        return loaded, len(artifact.model)

    def _open(
        self, name: str, version: int, artifact: Artifact, config: ModelConfig, stop: Stop | None
    ) -> Opened:
        """Make a session of a version, and have its weights shared if that pays."""
        threads = config.engine.intra_op_threads or self.intra_op_threads
        arena = self.memory_arena if config.engine.memory_arena is None else config.engine.memory_arena
        share = self.share_weights if config.engine.share_weights is None else config.engine.share_weights

        def make(source: Path | None, lay_out: Path | None) -> Session:
            own = artifact.folder / MODEL_FILE if artifact.external else artifact.model
            return Session(source or own, threads=threads, arena=arena, stop=stop, lay_out=lay_out)

        def trials(session: Session) -> list[Tensors]:
            signature = completed(_signature(artifact, session), session)
            inputs = trial_inputs(signature, self._parser(name, version, signature, config), _TRIAL_ROWS)
            return [inputs, varied(inputs)]

        size, session = artifact.weight_bytes, None
        if self.shared is None:
            reason = "one copy: there is one worker"
        elif not share:
            reason = "a copy in each worker, since engine.share_weights is false"
        elif size < LEAST_BYTES:
            reason = f"a copy in each worker: they take less than {LEAST_BYTES // 1024**2} MB"
        else:
            key = f"{artifact.fingerprint}-{threads}-{'arena' if arena else 'none'}"
            found = self.shared.open(key, make, trials, most_s=self.timeout_s / 4, stop=stop)
            if not isinstance(found, Refused):
                return Opened(
                    found[0], Weights(size, shared=True, reason="one copy for all workers"), found[1]
                )
            reason, session = f"a copy in each worker: {found.reason}", found.session
        return Opened(session or make(None, None), Weights(size, shared=False, reason=reason))

    def _parser(self, name: str, version: int, signature: Signature, config: ModelConfig) -> Parser:
        return Parser(signature, max_rows=self.max_rows(config), name=f"{name}.{version}.")

    def _prove(
        self,
        name: str,
        version: int,
        opened: Opened,
        artifact: Artifact,
        config: ModelConfig,
        *,
        began_ns: int,
        stop: Stop | None,
    ) -> Version:
        """Warm a version up, measure it, and make it ready to answer."""
        session = opened.session
        inline_us = 0.0 if artifact.may_loop else self.inline_us
        signature = _signature(artifact, session)
        try:
            parser = self._parser(name, version, signature, config)
            proven = config.warm_up or signature.example is not None
            cost = measure(session, signature, parser) if proven else None
            batching = choose_batching(
                session,
                signature,
                parser,
                config.batching,
                cost=cost,
                inline_us=inline_us,
                model=artifact.model,
            )
        except RunError as error:
            if stop is not None:
                stop.check()
            raise IntegrityError(_unproven(signature, error)) from error
        except (TypeError, ValueError) as error:
            raise IntegrityError(f"the signature or its example cannot be used: {error}") from error
        run_us = None if cost is None else cost.of(1)
        info = ModelInfo(
            name,
            version,
            artifact.digest,
            artifact.fingerprint,
            signature,
            artifact.manifest,
            run_us,
            load_s=(time.perf_counter_ns() - began_ns) / 1e9,
        )
        limits = config.limits
        rules = LaneRules(
            runs=limits.max_runs,
            max_queue_rows=limits.max_queue_rows or self.limits.max_queue_rows,
            max_queue_s=limits.max_queue_s or self.limits.max_queue_s,
            batch_rows=batching.rows,
            batch_wait_us=config.batching.max_wait_us,
        )
        lane = Lane(f"{name} version {version}", name, session, self.pool, rules=rules, cost=cost)
        return Version(
            info,
            opened,
            parser,
            lane,
            cost=cost,
            batching=batching,
            inline_us=inline_us,
            extent_of_row=extent(trial_inputs(signature, parser, 1)) if rows_differ(signature) else None,
        )

    def max_rows(self, config: ModelConfig) -> int:
        """The greatest number of rows in one request to a model."""
        return config.limits.max_rows or self.limits.max_rows

    def stand_in(
        self, name: str, version: int, folder: Path | None, config: ModelConfig, *, like: ModelInfo | None
    ) -> StandIn | None:
        """What can stand where a version failed to load, or is absent.

        Args:
            name: The model's name.
            version: The version's number.
            folder: The version's folder; None if it is absent.
            config: What the team decided about the model.
            like: The version that its signature is taken from where its manifest cannot be read.

        Returns:
            None if nothing is known of what the version takes.
        """
        manifest = None
        if folder is not None:
            with suppress(StoreError):
                manifest = read_manifest(folder, max_bytes=self.max_file_bytes)
        if manifest is not None:
            info = ModelInfo(name, version, manifest.digest, "", manifest.signature, manifest)
        elif like is not None:
            info = ModelInfo(name, version, "", "", like.signature)
        else:
            return None
        try:
            return StandIn(info, self._parser(name, version, info.signature, config))
        except (TypeError, ValueError):
            return None


def _signature(artifact: Artifact, session: Session) -> Signature:
    """What a version takes and gives: as its manifest says, else as its graph does."""
    if artifact.manifest is None:
        return graph_signature(session)
    _check_signature(artifact.manifest.signature, session)
    return artifact.manifest.signature


def _unproven(signature: Signature, error: RunError) -> str:
    if signature.example is not None and signature.batched:
        return f"its warm-up run fails on the example of its manifest: {error}"
    return (
        f"its warm-up run fails on zeros: {error}; if zeros are no fair input for it, say `warm_up = false` in "
        "its model.toml to serve it unproven"
    )


def _check_signature(signature: Signature, session: Session) -> None:
    """Refuse a manifest that describes another graph: tensors would be given names and types that are not theirs."""
    if {(tensor.name, tensor.dtype) for tensor in signature.inputs} != {
        (tensor.name, tensor.dtype) for tensor in session.inputs
    }:
        raise IntegrityError(
            f"the manifest describes the inputs {_listed(signature.inputs)}; the graph has {_listed(session.inputs)}"
        )
    graph = {tensor.name: tensor.shape for tensor in session.inputs}
    for tensor in signature.inputs:
        if not _agree(tensor.shape, graph[tensor.name]):
            raise IntegrityError(
                f"the manifest gives the input {tensor.name!r} the shape {list(tensor.shape)}; "
                f"the graph has {list(graph[tensor.name])}"
            )
    if any(output.kind != "tensor" for output in session.outputs):
        return
    if [(tensor.name, tensor.dtype) for tensor in signature.outputs] != [
        (output.name, output.dtype) for output in session.outputs
    ]:
        raise IntegrityError(
            f"the manifest describes the outputs {_listed(signature.outputs)}; "
            f"the graph has {_listed(session.outputs)}"
        )


def _agree(described: tuple[Dimension, ...], graph: tuple[Dimension, ...]) -> bool:
    """Whether two shapes can be of one tensor; the graph's is empty too where it does not even say the rank."""
    if not graph:
        return True
    pairs = zip(described, graph, strict=False)
    return len(described) == len(graph) and all(
        one == other for one, other in pairs if isinstance(one, int) and isinstance(other, int)
    )


def _listed(tensors: Sequence[Tensor | Output]) -> str:
    return ", ".join(f"{tensor.name} ({tensor.dtype})" for tensor in tensors)
