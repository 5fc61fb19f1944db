"""Everybody who is compared, and how each is started at its fastest, with one worker and without telemetry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import tomlkit

from loadtests.bench.cases import CASES, Encoding
from loadtests.bench.contender import SERVERS, Contender, Launch, Start
from loadtests.bench.dialects import FIXED, INVOCATIONS, NATIVE, PLAIN, V1, V2, V2_BINARY, Dialect

__all__ = ["CONTENDERS", "QUICK", "choose", "uvicorn"]

EVERY: Final = tuple(case.name for case in CASES)
JSON: Final = tuple(case.name for case in CASES if case.encoding == "json")
TRAINED: Final = tuple(name for name in JSON if not name.startswith("heavy"))
FOREST: Final = tuple(name for name in JSON if name.startswith("breast_cancer"))
FOREST_AND_HEAVY: Final = (*FOREST, "heavy-1")
ONE_ROW: Final = ("breast_cancer-1",)
FOREST_BINARY: Final = tuple(case.name for case in CASES if case.encoding == "binary")

_HEARD: Final[Mapping[Encoding, Dialect]] = {"json": NATIVE, "binary": V2_BINARY}

TRACING: Final = {"sampler": "parentbased_traceidratio", "ratio": 0.1}
"""Spans of every tenth request; their `endpoint` is told when it is known."""
_MOSEC: Final = ("--address", "127.0.0.1", "--port", "{port}", "--timeout", "60000", "--log-level", "error")
ARMED: Final = {"plugins": {"fallback": [{"value": {"label": "benign", "probabilities": [0.5, 0.5]}}]}}
"""model.toml: a value that answers if the forest cannot."""
PLUGINS: Final[dict[str, dict[str, Any]]] = {
    "metrics": {},
    "tracing": TRACING,
    "fallback": {},
    "cache": {"force": True},
}


def uvicorn(application: str, **environ: str) -> Callable[[Launch], Start]:
    """How an ASGI application of servers/ is started."""

    def start(launch: Launch) -> Start:
        options = ["--app-dir", str(SERVERS), "--port", str(launch.port), "--workers", "1"]
        options += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        known = {"MODEL": str(launch.model.file), "ESTIMATOR": str(launch.model.estimator)}
        return Start([str(launch.python), "-m", "uvicorn", application, *options], known | environ)

    return start


def _foretell(*plugins: str, accelerated: bool = True) -> Callable[[Launch], Start]:
    def start(launch: Launch) -> Start:
        store = shutil.copytree(launch.model.store, launch.folder / "model_store")
        settings: dict[str, Any] = {
            "server": {"port": launch.port, "accelerated": accelerated},
            "log": {"level": "warning"},
            "plugins": {"enabled": list(plugins), "config": {each: dict(PLUGINS[each]) for each in plugins}},
        }
        if "tracing" in plugins:
            settings["plugins"]["config"]["tracing"]["endpoint"] = launch.receiver
        if "fallback" in plugins:
            (store / launch.model.name / "model.toml").write_text(tomlkit.dumps(ARMED))
        (launch.folder / "foretell.toml").write_text(tomlkit.dumps(settings))
        return Start([str(launch.python), "-m", "foretell", "serve"])

    return start


def _raw(launch: Launch) -> Start:
    return Start(
        [str(launch.python), str(SERVERS / "raw.py"), str(launch.model.file), str(launch.folder / "rows.npy")]
    )


def _script(name: str, *options: str, **environ: str) -> Callable[[Launch], Start]:
    """A program of servers/; in its options, {port} and {model} are filled in."""

    def start(launch: Launch) -> Start:
        known = {"port": launch.port, "model": launch.model.name}
        filled = [option.format(**known) for option in options]
        command = [str(launch.python), str(SERVERS / f"{name}.py"), *filled]
        return Start(command, {"MODEL": str(launch.model.file), **environ})

    return start


def _mlserver(launch: Launch) -> Start:
    settings = {
        "host": "127.0.0.1",
        "http_port": launch.port,
        "grpc_port": launch.free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "use_structured_logging": False,
        "debug": False,  # its access log
        "gzip_enabled": False,
    }
    model = {"name": launch.model.name, "implementation": "mlserver_runtime.Predictor"}
    (launch.folder / "settings.json").write_bytes(msgspec.json.encode(settings))
    (launch.folder / "model-settings.json").write_bytes(msgspec.json.encode(model))
    return Start(
        [str(launch.python.with_name("mlserver")), "start", str(launch.folder)],
        {"MODEL": str(launch.model.file), "PYTHONPATH": str(SERVERS)},
    )


def _bentoml(launch: Launch) -> Start:
    command = [str(launch.python.with_name("bentoml")), "serve", "bentoml_service:Predictor"]
    command += ["--working-dir", str(SERVERS), "--host", "127.0.0.1", "--port", str(launch.port)]
    return Start(
        command,
        {
            "MODEL": str(launch.model.file),
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(launch.folder / "bentoml"),
        },
    )


def _mlflow(launch: Launch) -> Start:
    saved = launch.model.store.parent / "mlflow"
    environ = {
        "MODEL": str(launch.model.file),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "UVICORN_ACCESS_LOG": "false",
        "PATH": f"{launch.python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    if not saved.exists():  # once for all rounds: that is no part of its start
        subprocess.run(
            [str(launch.python), str(SERVERS / "mlflow_model.py"), str(saved)],
            env=os.environ | environ,
            stdout=sys.stderr,
            check=True,
        )
    command = [str(launch.python.with_name("mlflow")), "models", "serve", "--model-uri", str(saved)]
    command += ["--env-manager", "local", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(launch.port)]
    return Start(command, environ)


def _variant(name: str, about: str, *plugins: str, accelerated: bool = True) -> Contender:
    bare = not plugins
    return Contender(
        name,
        about,
        _foretell(*plugins, accelerated=accelerated),
        EVERY if bare else (FOREST if len(plugins) == len(PLUGINS) else ONE_ROW),
        _HEARD,
        traces="tracing" in plugins,
    )


_ALL: Final = ("tracing", "metrics", "fallback", "cache")

CONTENDERS: Final = (
    Contender(
        "nothing", "an ASGI application that does nothing", uvicorn("nothing:app"), EVERY, FIXED, floor=True
    ),
    Contender("session.run", "ONNX Runtime in a loop, without a server", _raw, JSON, {}),
    _variant("foretell", "`foretell serve` without plugins, all else as it comes"),
    _variant("foretell-metrics", "metrics", "metrics"),
    _variant("foretell-tracing", "tracing, every tenth request", "tracing"),
    _variant("foretell-fallback", "a fallback, armed", "fallback"),
    _variant("foretell-cache", "a cache that never has the answer", "cache"),
    _variant("foretell-all", "all four", *_ALL),
    _variant("foretell-plain", "server.accelerated = false", accelerated=False),
    _variant("foretell-plain-all", "the same, all four", *_ALL, accelerated=False),
    Contender(
        "fastapi-joblib",
        "FastAPI, scikit-learn",
        uvicorn("fastapi_joblib:app"),
        TRAINED,
        {"json": PLAIN},
        environment="fastapi-joblib",
        estimator=True,
    ),
    Contender(
        "fastapi-onnx",
        "FastAPI, ONNX Runtime",
        uvicorn("fastapi_onnx:app"),
        JSON,
        {"json": PLAIN},
        environment="fastapi-onnx",
    ),
    Contender("mlserver", "MLServer", _mlserver, FOREST, {"json": V2}, environment="mlserver"),
    Contender("bentoml", "BentoML", _bentoml, FOREST_AND_HEAVY, {"json": PLAIN}, environment="bentoml"),
    Contender(
        "litserve",
        "LitServe",
        _script("litserve_server", "{port}"),
        FOREST_AND_HEAVY,
        {"json": PLAIN},
        environment="litserve",
    ),
    Contender(
        "kserve",
        "KServe's SDK",
        _script("kserve_server", "{model}", "--http_port", "{port}"),
        (*FOREST_AND_HEAVY, *FOREST_BINARY),
        {"json": V1, "binary": V2_BINARY},
        environment="kserve",
    ),
    Contender(
        "mosec",
        "mosec",
        _script("mosec_server", *_MOSEC),
        JSON,
        {"json": PLAIN},
        environment="mosec",
    ),
    Contender(
        "mosec-batching",
        "mosec, up to 32 requests in one run",
        _script("mosec_server", *_MOSEC, BATCH="32"),
        FOREST_AND_HEAVY,
        {"json": PLAIN},
        environment="mosec",
    ),
    Contender("mlflow", "MLflow", _mlflow, FOREST, {"json": INVOCATIONS}, environment="mlflow"),
)

QUICK: Final = ("nothing", "session.run", "foretell", "foretell-all", "fastapi-onnx")
"""What fits into a minute."""


def choose(names: list[str]) -> list[Contender]:
    """The contenders of some names, all if there are none; the floor is always among them.

    Raises:
        ValueError: There is no such contender.
    """
    known = {each.name: each for each in CONTENDERS}
    for name in names:
        if name not in known:
            raise ValueError(f"there is no contender {name!r}; there are {', '.join(known)}")
    return [each for each in CONTENDERS if not names or each.name in names or each.floor]
