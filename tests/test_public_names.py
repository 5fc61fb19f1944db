"""What ``import foretell`` gives, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import foretell
import foretell.app
import foretell.publishing
import foretell.settings

HEAVY = {
    "httptools",
    "joblib",
    "litestar",
    "msgspec",
    "numpy",
    "onnx",
    "onnxruntime",
    "orjson",
    "pandas",
    "rich",
    "scipy",
    "skl2onnx",
    "sklearn",
    "skops",
    "structlog",
    "tomlkit",
    "uvicorn",
    "uvloop",
}
CONVERT = {"joblib", "onnx", "pandas", "scipy", "skl2onnx", "sklearn", "skops"}


def fresh(script: str, *arguments: str, cwd: Path | None = None) -> Any:
    """What a script prints last, as JSON, in a process that has imported nothing yet."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True, cwd=cwd
    )
    return json.loads(done.stdout.splitlines()[-1])


def imported(script: str) -> set[str]:
    """The top-level packages that a script imports."""
    names: list[str] = fresh(f"import json, sys\n{script}\nprint(json.dumps(sorted(sys.modules)))")
    return {name.partition(".")[0] for name in names}


def test_the_public_names_are_these() -> None:
    assert foretell.__all__ == ["Settings", "create_app", "publish"]
    assert dir(foretell) == ["Settings", "create_app", "publish"]


def test_each_name_is_what_it_says() -> None:
    assert foretell.Settings is foretell.settings.Settings
    assert foretell.create_app is foretell.app.create_app
    assert foretell.publish is foretell.publishing.publish


def test_each_name_stays_itself_whatever_is_imported() -> None:
    """A module of the same name would take its place."""
    script = """
import json, pkgutil, importlib, foretell
for module in pkgutil.walk_packages(foretell.__path__, "foretell."):
    if module.name != "foretell.__main__":
        importlib.import_module(module.name)
print(json.dumps([callable(getattr(foretell, name)) for name in foretell.__all__]))
"""
    assert fresh(script) == [True, True, True]


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'foretell' has no attribute 'serve'"):
        _ = getattr(foretell, "ser" + "ve")


def test_importing_foretell_imports_nothing_else() -> None:
    assert not imported("import foretell") & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_help_imports_nothing_but_click(arguments: list[str]) -> None:
    script = f"from foretell.cli import main\ntry:\n    main({arguments})\nexcept SystemExit:\n    pass"
    assert not imported(script) & HEAVY


def test_the_names_are_imported_one_by_one() -> None:
    assert not imported("from foretell import Settings") & (HEAVY - {"msgspec"})
    assert not imported("from foretell import create_app") & (CONVERT | {"onnxruntime", "uvicorn"})
    assert not imported("from foretell import publish") & {"litestar", "uvicorn"}


SIDE_EFFECTS = """
import json, logging, os, pkgutil, random, signal, sys, threading, warnings
import click, httptools, joblib, litestar, msgspec, numpy, onnx, onnxruntime, orjson, pandas, rich, scipy, skl2onnx
import locust, sklearn.ensemble, sklearn.pipeline, skops.io, structlog, tomlkit, uvicorn, uvloop
import importlib
import foretell

def state():
    root = logging.getLogger()
    return {
        "environ": dict(os.environ),
        "handlers": [str(handler) for handler in root.handlers],
        "level": root.level,
        "uvicorn": [str(handler) for handler in logging.getLogger("uvicorn").handlers],
        "structlog": structlog.is_configured(),
        "warnings": len(warnings.filters),
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "path": list(sys.path),
        "folder": os.getcwd(),
        "files": sorted(os.listdir()),
        "random": str(random.getstate()),
        "numpy": str(numpy.random.get_state()),
        "excepthook": str(sys.excepthook),
    }

names = [module.name for module in pkgutil.walk_packages(foretell.__path__, "foretell.")]
changed = {}
for name in names:
    before = state()
    importlib.import_module(name)
    after = state()
    if before != after:
        changed[name] = [key for key in before if before[key] != after[key]]
print(json.dumps({"names": names, "changed": changed}))
"""


def test_importing_a_module_has_no_effect(tmp_path: Path) -> None:
    """The libraries are imported beforehand: what they do is theirs."""
    found = fresh(SIDE_EFFECTS, cwd=tmp_path)
    assert {"foretell.app", "foretell.cli.serve", "foretell.store.catalog", "foretell.logs"} <= set(
        found["names"]
    )
    assert found["changed"] == {}
