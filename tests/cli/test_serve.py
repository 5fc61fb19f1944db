"""``foretell serve``, as far as it does not get to serve; what it serves is in tests/end_to_end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.models import linear_model_bytes, write_version


def test_a_port_that_is_taken_ends_it_with_exit_code_1_and_the_reason(store: Path, tmp_path: Path) -> None:
    write_version(store, "m", 1, linear_model_bytes())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "foretell", "serve", "--store", store, "--port", str(port)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={key: value for key, value in os.environ.items() if not key.startswith("FORETELL_")},
        )
    assert done.returncode == 1
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert "address already in use" in str([line for line in lines if line["level"] == "error"])
