"""What must be so of the image, each a function that says what it saw."""

from __future__ import annotations

import json
import threading
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import onnxruntime

from scripts.image_test.container import Answer, Container

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripts.image_test.tools import Tools

__all__ = ["CHECKS", "WrongError"]

_ROW: Final = [5.1, 3.5, 1.4, 0.2]
_QUESTION: Final = {"instances": [_ROW]}
_IN_FLIGHT: Final = "foretell_in_flight "
_DIED: Final = '"worker died"'
_ENDED_S: Final = 60.0


class _Prediction(msgspec.Struct):
    label: str
    probabilities: list[float]


class _Answer(msgspec.Struct):
    predictions: list[_Prediction | str]


class WrongError(Exception):
    """The image is not as it must be."""


def _must(so: object, otherwise: str) -> None:
    if not so:
        raise WrongError(otherwise)


def described(tools: Tools, image: str, models: Path) -> str:
    """The image says who runs it, how it is stopped, and how its health is seen."""
    del models
    told = json.loads(tools.podman("image", "inspect", image))[0]
    config: dict[str, Any] = told["Config"]
    labels: dict[str, str] = config["Labels"]
    _must(config["User"] == "65532:65532", f"its user is {config['User']!r}")
    _must(config["StopSignal"] == "SIGTERM", f"its stop signal is {config['StopSignal']!r}")
    _must(config["Entrypoint"] == ["foretell"], f"its entry point is {config['Entrypoint']}")
    _must(config["Cmd"] == ["serve"], f"its command is {config['Cmd']}")
    _must("Healthcheck" in config or "Healthcheck" in told, "it has no health check")
    for name in ("title", "description", "licenses", "version"):
        _must(bool(labels.get(f"org.opencontainers.image.{name}")), f"it has no label {name}")
    added = sum(layer["size"] for layer in _added(tools, image))
    return f"{told['Size'] / 1e6:.0f} MB, {added / 1e6:.0f} MB of them beside the base; user {config['User']}"


def _added(tools: Tools, image: str) -> list[dict[str, Any]]:
    """The layers that the Containerfile has added."""
    history: list[dict[str, Any]] = json.loads(tools.podman("history", "--format", "json", image))
    return history[:-1]


def answers(tools: Tools, image: str, models: Path) -> str:
    """It answers as ONNX Runtime does, counts it, and is well: read-only, without capabilities, nobody's root."""
    with Container(tools, image, models) as container:
        answer = container.until_answered("/v1/models/iris:predict", _QUESTION)
        took_s = time.monotonic() - container.began
        _right(models, answer)
        metrics = container.ask("/metrics").body.decode()
        counted = 'foretell_requests_total{model="iris",outcome="success",protocol="native"'
        _must(counted in metrics, f"/metrics does not count the prediction: {metrics[:500]}")
        _must(container.ask("/health/ready").status == 200, "it is not ready")
        healthy = container.podman("healthcheck", "run")
        _must(healthy in {"", "healthy"}, f"its health check says {healthy}")
        _must(container.execute("id", "-u") == "65532", "it is somebody else")
        status = container.execute("cat", "/proc/1/status")
        _must("CapEff:\t0000000000000000" in status, "it has capabilities")
        _must("NoNewPrivs:\t1" in status, "it may get privileges")
        for path in ("/tried", "/models/tried", "/foretell/tried", "/opt/foretell/tried"):
            told = container.execute("touch", path, check=False)
            _must("Read-only file system" in told, f"{path}: {told}")
        memory = int(status.partition("VmRSS:")[2].split()[0]) / 1000
    return f"first right answer {took_s:.1f} s after podman run, with half a CPU; {memory:.0f} MB resident"


def writes_nothing(tools: Tools, image: str, models: Path) -> str:
    """It needs no folder to write in, not even /tmp."""
    with Container(tools, image, models, options=("--read-only-tmpfs=false",)) as container:
        _right(models, container.until_answered("/v1/models/iris:predict", _QUESTION))
        told = container.execute("touch", "/var/tmp/tried", check=False)  # noqa: S108 - of the container
        _must("Read-only file system" in told, f"a temporary file can be written: {told}")
    return "answers, and there is no folder for temporary files"


def serves_platforms(tools: Tools, image: str, models: Path) -> str:
    """`serve`, a folder /opt/ml/model and SageMaker's port are enough."""
    environ = {"FORETELL_STORE__DEFAULT_MODEL": "iris"}
    with Container(
        tools,
        image,
        models,
        mounted="/opt/ml/model",
        environ=environ,
        port_variable="SAGEMAKER_BIND_TO_PORT",
        command=("serve",),
    ) as container:
        container.until_answered("/ping")
        _right(models, container.ask("/invocations", _QUESTION))
    return "/ping and /invocations"


def drains(tools: Tools, image: str, models: Path) -> str:
    """After SIGTERM it answers what goes on, and ends with 0."""
    with Container(tools, image, models) as container:
        container.until_answered("/health/ready")
        slow: list[Answer | Exception] = []
        question = {"instances": [[0.0] * 512]}

        def ask() -> None:
            try:
                slow.append(container.ask("/v1/models/slow:predict", question))
            except (OSError, HTTPException) as error:
                slow.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        _await(lambda: _in_flight(container), "the slow request never began")
        began = time.monotonic()
        container.podman("stop", "--time", "30")
        took_s = time.monotonic() - began
        asking.join()
        (answer,) = slow
        _must(isinstance(answer, Answer) and answer.status == 200, f"what went on was answered with {answer}")
        status = container.told("{{.State.ExitCode}}")
        _must(status == "0", f"it ended with {status}")
    return f"what went on was answered, and it ended with 0 after {took_s:.1f} s"


def comes_back(tools: Tools, image: str, models: Path) -> str:
    """Where it takes more memory than it may, the kernel kills it, and it is started again and answers."""
    with Container(tools, image, models, options=("--restart", "on-failure:3")) as container:
        _right(models, container.until_answered("/v1/models/iris:predict", _QUESTION))
        before = container.told("{{.State.Pid}}")
        _starve(container)
        began = time.monotonic()
        _await(lambda: container.told("{{.RestartCount}}") == "1", "it was not started again")
        _right(models, container.until_answered("/v1/models/iris:predict", _QUESTION))
        took_s = time.monotonic() - began
        _must(container.told("{{.State.Pid}}") != before, "it was never killed")
    with Container(tools, image, models) as container:
        container.until_answered("/health/ready")
        _starve(container)
        _await(lambda: container.told("{{.State.Status}}") == "exited", "it goes on")
        status = container.told("{{.State.ExitCode}} {{.State.OOMKilled}}")
        _must(status.startswith("137 "), f"it ended with {status}")
    return f"killed with 137, started again, and answering {took_s:.1f} s after"


def workers_come_back(tools: Tools, image: str, models: Path) -> str:
    """With two workers the one that takes too much is killed and replaced, and the container goes on."""
    options = ("--memory", "512m", "--memory-swap", "512m")
    environ = {"FORETELL_SERVER__WORKERS": "2"}
    with Container(tools, image, models, environ=environ, options=options) as container:
        container.until_answered("/health/ready")
        before = container.told("{{.State.Pid}}")
        _starve(container)
        _await(lambda: _DIED in container.log(), "no worker died")
        _right(models, container.until_answered("/v1/models/iris:predict", _QUESTION))
        _must(container.told("{{.State.Pid}}") == before, "the container was started again")
        died = next(line for line in container.log().splitlines() if _DIED in line)
    return f"a worker died of {json.loads(died)['signal']}, another took its place"


CHECKS: Final = (described, answers, writes_nothing, serves_platforms, drains, comes_back, workers_come_back)
"""All of them, in their order."""


def _right(models: Path, answer: Answer) -> None:
    """It is a 200 with what ONNX Runtime says of the same row."""
    _must(answer.status == 200, f"{answer.status} {answer.body[:300]!r}")
    session = onnxruntime.InferenceSession(models / "iris" / "1" / "model.onnx")
    labels, probabilities = session.run(
        ["label", "probabilities"], {"features": np.array([_ROW], np.float32)}
    )
    (told,) = msgspec.json.decode(answer.body, type=_Answer).predictions
    if isinstance(told, str):  # as /invocations answers
        told = _Prediction(told, list(probabilities[0]))
    so = told.label == labels[0] and np.allclose(told.probabilities, probabilities[0], rtol=1e-6)
    _must(so, f"it says {answer.body!r}, and not {labels[0]} {probabilities[0]}")


def _in_flight(container: Container) -> bool:
    """Whether a request of the slow model goes on."""
    lines = container.ask("/metrics").body.decode().splitlines()
    return any(line.startswith(_IN_FLIGHT) and float(line.rpartition(" ")[2]) > 0 for line in lines)


def _starve(container: Container) -> None:
    """Have it take more memory than it may; the caller gets no answer."""
    try:
        answer = container.ask("/v1/models/hungry:predict", {"instances": [[500e6]]})
    except (OSError, HTTPException):
        return
    raise WrongError(f"two gigabytes within its limit: {answer}")


def _await(so: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + _ENDED_S
    while not so():
        _must(time.monotonic() < until, otherwise)
        time.sleep(0.05)
