"""``foretell serve``, as far as it does not get to serve; what it serves is in tests/end_to_end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import linear_model_bytes, write_version


def serve(store: Path, *flags: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "foretell", "serve", "--store", store, *flags],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=120,
        env={key: value for key, value in os.environ.items() if not key.startswith("FORETELL_")},
    )


@pytest.mark.parametrize(
    ("host", "family"),
    [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("localhost", socket.AF_INET)],
    ids=["IPv4", "IPv6", "name"],
)
def test_a_port_that_is_taken_is_one_line_with_the_remedy_and_no_model_is_loaded(
    store: Path, tmp_path: Path, host: str, family: socket.AddressFamily
) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    with socket.socket(family) as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = serve(store, "--host", host, "--port", str(port), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"foretell: port {port} of {host} is taken: stop what listens there, or choose another with --port\n"
    )


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("192.0.2.1", "192.0.2.1 is no address of this machine: choose another with --host"),
        ("no.such.invalid", "the host 'no.such.invalid' is not known: choose an address of this machine"),
        ("a" * 100, f"the host '{'a' * 100}' is not known"),
    ],
    ids=["another machine's", "unknown name", "no name"],
)
def test_a_host_that_is_not_this_machine_is_one_line(
    store: Path, tmp_path: Path, host: str, wanted: str
) -> None:
    done = serve(store, "--host", host, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"foretell: {wanted}")
