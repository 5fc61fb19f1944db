"""The plugin of plugins/README.md, unchanged, as an installed package in a fresh environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import httpx
import pytest

from tests.servers import ROOT, SAMPLE_STORE, Serve

README = (ROOT / "plugins" / "README.md").read_text()


def block(pattern: str) -> str:
    """The code block of the README that a pattern finds."""
    found = re.search(rf"```\w*\n({pattern}.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheels of foretell and of the package; libraries are borrowed from this one."""
    folder = tmp_path_factory.mktemp("package")
    package = folder / "acme"
    (package / "acme_plugins").mkdir(parents=True)
    (package / "acme_plugins" / "__init__.py").touch()
    (package / "acme_plugins" / "contact.py").write_text(block("# plugins/contact.py"))
    (package / "pyproject.toml").write_text(block(r"\[build-system\]"))
    wheels = folder / "wheels"
    for project in (ROOT, package):
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, project)
    fresh = folder / "fresh"
    run(sys.executable, "-m", "venv", "--without-pip", fresh)
    python = fresh / "bin" / "python"
    run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python,
        "install", "--quiet", "--no-deps", "--no-index", *wheels.glob("*.whl"),
    )  # fmt: skip
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(site) / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return fresh / "bin"


def test_the_package_is_found_by_its_entry_point(environment: Path, tmp_path: Path) -> None:
    listed = run(
        environment / "foretell", "plugins", "list", "--set", "plugins.enabled=contact", cwd=tmp_path
    )
    assert re.search(
        r"^contact +yes +OBSERVE +package acme-plugins \(acme_plugins\.contact:Contact\)",
        listed,
        re.MULTILINE,
    )
    where = run(environment / "python", "-c", "import foretell; print(foretell.__file__)").strip()
    assert Path(where).is_relative_to(environment.parent)


def test_it_works_as_the_dropped_in_file_does(
    environment: Path, tmp_path: Path, serve_processes: Serve
) -> None:
    command = [
        str(environment / "foretell"), "serve", "--store", str(SAMPLE_STORE), "--port", "0",
        "--default-model", "iris", "--set", "plugins.enabled=contact",
        "--set", "plugins.config.contact.team=flowers@example.org",
    ]  # fmt: skip
    server = serve_processes(command, cwd=tmp_path, environ={"PYTHONPATH": ""})
    answer = httpx.post(f"{server.url}/predict", json={"features": [5.1, 3.5, 1.4, 0.2]})
    assert answer.json()["prediction"] == "setosa"
    assert answer.headers["x-team"] == "flowers@example.org"
    assert server.stop() == 0
