"""One ONNX Runtime session: a graph that can be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from foretell.engine.outputs import Output, flatten
from foretell.engine.runtime import load_runtime
from foretell.errors import InvalidInputError, Problem, RunError, ScreeningError
from foretell.signature import Tensor
from foretell.tensors import dtype_of_onnx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from onnxruntime import InferenceSession

    from foretell.engine.attempt import Stop
    from foretell.parser import Tensors
    from foretell.signature import Dimension

__all__ = ["Session"]

_INVALID: Final = "InvalidArgument"
"""The exception of ONNX Runtime that blames a value of the inputs, such as an index that is out of bounds."""

_MAX_FOLDED: Final = 256 * 1024**2
"""The greatest constant that is computed when a session is made, bytes; a larger one is computed in each run."""


_LAID_OUT: Final = {
    "session.optimized_model_external_initializers_file_name": "weights.bin",
    "session.optimized_model_external_initializers_min_size_in_bytes": "1048576",
    "session.save_external_prepacked_constant_initializers": "1",
}
"""Smaller weights stay in the model file: outside of it only those from 1 MB on begin at a page.

Source: ONNX Runtime, onnxruntime_session_options_config_keys.h.
"""


class Session:
    """A graph that can be run.

    Args:
        model: The model file's bytes, or its path where it refers to external data.
        threads: How many threads one run may use inside an operator.
        arena: Whether runs keep the memory that they have used for those that follow.
        stop: Ends the making of the session, and its trial runs, when nobody waits for them any longer.
        lay_out: Where to write the graph as it is run, its weights beside it as the runtime computes with them, so
            that a session that is made of that file maps them; a path in an empty folder.

    Attributes:
        inputs: What the graph takes.
        outputs: What it gives.
        plain: Whether it gives nothing but tensors.
        threads: How many threads one run may use.

    Raises:
        ScreeningError: ONNX Runtime refuses the model, or it has an input or output that cannot be served,
            or no output at all.
        LoadTimeoutError: It was stopped.
    """

    def __init__(
        self,
        model: bytes | Path,
        *,
        threads: int = 1,
        arena: bool = True,
        stop: Stop | None = None,
        lay_out: Path | None = None,
    ) -> None:
        self.threads = threads
        runtime = load_runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = arena
        # A plan of memory is kept for each shape that was ever seen: with requests of any number of rows, without end.
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # ONNX Runtime also takes a flatbuffer format of its own, which screening does not understand.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # Folding constants must not fill the memory with what a few bytes of graph ask for.
        options.add_session_config_entry(
            "optimization.constant_folding_max_output_size_in_bytes", str(_MAX_FOLDED)
        )
        if lay_out is not None:
            options.optimized_model_filepath = str(lay_out)
            for key, value in _LAID_OUT.items():
                options.add_session_config_entry(key, value)
        self._new_options = runtime.RunOptions
        # Nobody changes these; without any, each run makes some, with a tag of its own.
        self._no_options = runtime.RunOptions()
        self._trial = runtime.RunOptions()
        if stop is not None:
            stop.on_ask(lambda: options.set_load_cancellation_flag(True))
            stop.on_ask(self._end_trials)
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session: InferenceSession = runtime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            if stop is not None:
                stop.check()
            raise ScreeningError(f"ONNX Runtime refuses the model: {error}") from error
        if stop is not None:
            stop.check()
        self.inputs = tuple(
            _input(node.name, node.type, _shape(node.shape)) for node in self._session.get_inputs()
        )
        self.outputs = tuple(
            Output.of(node.name, node.type, _shape(node.shape)) for node in self._session.get_outputs()
        )
        if not self.outputs:
            raise ScreeningError("the graph has no outputs: there is nothing that it could answer")
        # What wraps it in Python checks again that all inputs are there, in a fifth of the time of a small run.
        self._run: Callable[..., Sequence[Any]] = getattr(self._session, "_sess", self._session).run
        self.plain = all(output.kind == "tensor" for output in self.outputs)
        self._names = [output.name for output in self.outputs]

    def new_options(self) -> Any:
        """Options of one run; to set their `terminate` ends it between two operators of the graph."""
        return self._new_options()

    def run(self, inputs: Tensors, wanted: Sequence[str] | None = None, options: Any = None) -> Tensors:
        """Run the graph.

        Args:
            inputs: One tensor for each input, of its dtype and shape.
            wanted: The names of the outputs that are wanted, in this order; None means all.
            options: What `new_options` gave; None for a run that cannot be ended.

        Returns:
            The output tensors by name, sequences and maps flattened.

        Raises:
            RunError: ONNX Runtime failed.
            InvalidInputError: A part of a sequence is wanted that it does not have for these inputs.
        """
        if self.plain:
            names = self._names if wanted is None else wanted
            return dict(zip(names, self.run_raw(inputs, names, options)))  # noqa: B905 - it gives one for each
        tensors = flatten(self.outputs, self.run_raw(inputs, None, options))
        if wanted is None:
            return tensors
        absent = [name for name in wanted if name not in tensors]
        if absent:
            message = f"for these inputs the model gives no {absent[0]!r}: a sequence is shorter than it was tried with"
            raise InvalidInputError(Problem("$.outputs", message))
        return {name: tensors[name] for name in wanted}

    def run_raw(
        self, inputs: Tensors, wanted: Sequence[str] | None = None, options: Any = None
    ) -> Sequence[Any]:
        """Run the graph, and leave what ONNX Runtime returns as it is; see `run`."""
        try:
            return self._run(self._names if wanted is None else wanted, inputs, options or self._no_options)
        except Exception as error:
            raise _run_error(error) from error

    def try_run(self, inputs: Tensors) -> Sequence[Any]:
        """Run the graph as `run_raw` does, in a way that the `stop` of the session can end."""
        try:
            return self._session.run(self._names, inputs, self._trial)
        except Exception as error:
            raise _run_error(error) from error

    def try_outputs(self, inputs: Tensors) -> Tensors:
        """Run the graph as `run` does, in a way that the `stop` of the session can end."""
        return self.run(inputs, None, self._trial)

    def _end_trials(self) -> None:
        self._trial.terminate = True


def _run_error(error: Exception) -> RunError:
    """What ONNX Runtime raises, in one line."""
    return RunError(" ".join(str(error).split()), blames_values=type(error).__name__ == _INVALID)


def _input(name: str, type_string: str, shape: tuple[Dimension, ...]) -> Tensor:
    dtype = dtype_of_onnx(type_string)
    if dtype is None:
        raise ScreeningError(f"the input {name!r} has the type {type_string}, which cannot be served")
    return Tensor(name, dtype.name, shape)


def _shape(lengths: Sequence[int | str | None]) -> tuple[Dimension, ...]:
    """A shape as ONNX Runtime reports it; a length below 0 or an empty name means a variable axis without a name."""
    return tuple(
        (length if length >= 0 else None) if isinstance(length, int) else length or None for length in lengths
    )
