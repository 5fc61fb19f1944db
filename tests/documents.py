"""Runs what stands in a Markdown document, as a reader would: commands, programs and settings, in their order.

    python -m tests.documents README.md docs/*.md    writes the answers that commands give now into the documents

A ``console`` block holds commands after ``$`` and what they print. A ``python`` block is a program; the ``text``
block after it is what it prints. A ``python`` block that begins with a comment that names a file is that file. A
``toml`` block begins with a comment that names the file it stands for; after ``# add to`` it is added to that file,
and after ``# change in`` its keys are set there, in the tables that the file has.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

import tomlkit

from foretell.settings import load_settings
from foretell.store.model_config import ModelConfig
from tests.servers import ROOT, RunningServer, environment

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SERVERS = re.compile(r"make serve|foretell serve|litestar run|(?:^| )(?:hypercorn|uvicorn) ")
_INSTALL = re.compile(r"pip install ([\w-]+)")
_BIN = Path(sys.executable).parent
_LOCKED = re.compile(r"^([\w.-]+)==(\S+)( ;.*)?", re.MULTILINE)
_FILE = re.compile(r"# ([\w/.-]+\.py)\n")
_ADDED = re.compile(r"# add to ([\w/.-]+\.toml)\n")
_CHANGED = re.compile(r"# change in ([\w/.-]+\.toml)\n")
_REQUEST_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


class Command(NamedTuple):
    """A command or a program, and what it printed."""

    source: str
    expected: str
    printed: str


class Document:
    """A Markdown document and a folder to run it in, with the sample store and its settings.

    Args:
        path: The document.
        folder: An empty folder.
        activated: Whether the reader has activated ``.venv`` elsewhere; if not, its commands are not to be found
            before the document says how to.
    """

    def __init__(self, path: Path, folder: Path, *, activated: bool = True) -> None:
        self.text = path.read_text()
        self._folder = folder
        self._servers = ExitStack()
        self._url = ""
        self._rpc = ""
        shutil.copytree(ROOT / "model_store", folder / "model_store")
        shutil.copy2(ROOT / "foretell.toml", folder)
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FORETELL_")},
            "PATH": os.pathsep.join(
                part
                for part in os.environ["PATH"].split(os.pathsep)
                if not (Path(part) / "foretell").exists()
            ),
        }
        if activated:
            self._activate()

    @classmethod
    def read(cls, path: Path, folder: Path) -> Self:
        """A document of this project: README comes first, and the others take for granted what it says."""
        return cls(path, folder, activated=path != ROOT / "README.md")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    def run(self) -> Iterator[Command]:
        """Run every block, and give each command with what it should print and what it printed."""
        program: str | None = None
        printed = ""
        for fence in _FENCE.finditer(self.text):
            language, content = fence[1], fence[2]
            if language == "console":
                yield from self._run_commands(content)
            elif language == "python" and (name := _FILE.match(content)):
                self._write(name[1], content)
            elif language == "python":
                program = content
                printed = self._shell([sys.executable, "-c", self._local(content)])
            elif language == "text" and program is not None:
                yield Command(program, content, printed)
                program = None
            elif language == "toml":
                self._check_settings(content)

    def _run_commands(self, content: str) -> Iterator[Command]:
        for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            if package := _INSTALL.fullmatch(command):
                assert version(package[1]), "what a reader installs is what the document is tested with"
            elif command == "make convert":
                _check_make_convert()
            elif command == "source .venv/bin/activate":
                self._activate()
            elif _SERVERS.search(command):
                self._serve(command)
                assert not expected.strip(), f"{command!r} goes on serving and prints nothing here"
            else:
                yield Command(command, expected, self._shell(["bash", "-c", self._local(command)]))

    def _activate(self) -> None:
        """What ``source .venv/bin/activate`` does for the commands after it."""
        assert (_BIN / "activate").is_file()
        self._environ["PATH"] = f"{_BIN}{os.pathsep}{self._environ['PATH']}"

    def _serve(self, command: str) -> None:
        """Start a server on a free port; later commands and programs that speak to localhost:8000, or to its gRPC at
        localhost:8001, are led to it.
        """
        self._servers.close()
        words = command.replace("make serve", _what_make_serve_does())
        words = re.sub(r"(foretell serve.*)", r"\1 --port 0", words)
        words = re.sub(r"--grpc-port \d+", "--grpc-port 0", words)
        words = re.sub(r"(litestar run.*)", r"\1 --port 0", words)
        words = re.sub(r"(^uvicorn )", r"\1--port 0 ", words)
        words = re.sub(r"(hypercorn )", r"\1--bind 127.0.0.1:0 ", words)
        server = RunningServer(
            ["bash", "-c", f"exec {self._exported(words)}"], cwd=self._folder, environ=self._environ
        )
        self._servers.callback(server.stop)
        if re.search(r"litestar|hypercorn|uvicorn", words):
            line = server.wait_for_text("unning on")
            self._url = next(iter(re.findall(r"http://127\.0\.0\.1:\d+", line)))
        else:
            self._url = server.url
            self._rpc = server.wait_for("serving").get("grpc", "")

    @staticmethod
    def _exported(words: str) -> str:
        """`exec` takes no assignments; `env` does."""
        return f"env {words}" if re.match(r"[A-Z0-9_]+=", words) else words

    def _local(self, command: str) -> str:
        assert "localhost:8000" not in command or self._url, f"{command!r} stands before a server is started"
        assert "localhost:8001" not in command or self._rpc, f"{command!r} stands before gRPC is served"
        local = command.replace("localhost:8000", self._url.removeprefix("http://"))
        return local.replace("localhost:8001", self._rpc)

    def _shell(self, command: list[str]) -> str:
        run = subprocess.run(
            command,
            cwd=self._folder,
            env=environment(self._environ),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert run.returncode == 0 or run.stderr.startswith("foretell: "), run.stderr
        return run.stdout + ("" if run.returncode == 0 else run.stderr)

    def _write(self, name: str, content: str) -> None:
        """Write a file as a reader does who is shown it."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def _check_settings(self, content: str) -> None:
        if added := _ADDED.match(content):
            with (self._folder / added[1]).open("a") as file:
                file.write(content)
            return
        if changed := _CHANGED.match(content):
            path = self._folder / changed[1]
            document = tomlkit.parse(path.read_text())
            _set(document, tomlkit.parse(content))
            path.write_text(tomlkit.dumps(document))
            return
        name = content.partition("\n")[0].removeprefix("# ")
        shown = self._folder / "shown.toml"
        shown.write_text(content)
        if name == "model.toml":
            ModelConfig.read(shown)
        elif name == "foretell.toml":
            load_settings(environ={}, file=shown)
        else:
            raise AssertionError(
                f"a toml block begins with `# foretell.toml` or `# model.toml`, not with {name!r}"
            )


def _set(table: Any, changes: Any) -> None:
    """Set keys in a table, and in the tables in it, as a reader does who is shown them."""
    for key, value in changes.items():
        if isinstance(value, dict) and key in table:
            _set(table[key], value)
        else:
            table[key] = value


def _what_make_serve_does() -> str:
    """The last command of ``make serve``. The ones before it make the environment that this test runs in."""
    plan = _plan("serve")
    assert plan.splitlines()[-1].strip() == "exec .venv/bin/foretell serve", plan
    return f"{_BIN / 'foretell'} serve"


def _check_make_convert() -> None:
    """That ``make convert`` installs a lock whose packages are, in these releases, the ones of this environment."""
    plan = _plan("--always-make", "convert")
    assert "install --no-deps --require-hashes -r requirements/convert.txt" in plan, plan
    for name, locked, marker in _LOCKED.findall((ROOT / "requirements" / "convert.txt").read_text()):
        if not marker:
            assert version(name) == locked


def _plan(*arguments: str) -> str:
    """What make would do."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("ARGS", "MAKE", "MFLAGS"))
    }
    command = ["make", "--no-print-directory", "--dry-run", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout


def same(expected: str, printed: str) -> bool:
    """Whether a command printed what stands in the document, but for request ids and the last digits of numbers."""
    texts = [_REQUEST_ID.sub("ID", text.strip()) for text in (expected, printed)]
    if _NUMBER.sub("#", texts[0]) != _NUMBER.sub("#", texts[1]):
        return False
    numbers = zip(*(map(float, _NUMBER.findall(text)) for text in texts), strict=True)
    return all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4) for a, b in numbers)


def rewrite(path: Path) -> None:
    """Write what commands print now into a document."""
    with tempfile.TemporaryDirectory() as folder, Document.read(path, Path(folder)) as document:
        text = document.text
        for command in document.run():
            if _REQUEST_ID.sub("", command.expected) != _REQUEST_ID.sub("", command.printed):
                before = command.source if command.source.endswith("\n") else f"$ {command.source}\n"
                start = text.index(before) + len(before)
                at = text.index(command.expected, start)
                text = text[:at] + command.printed.rstrip("\n") + "\n" + text[at + len(command.expected) :]
        path.write_text(text)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        rewrite(Path(argument))
