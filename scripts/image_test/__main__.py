"""Build the container image and try it: ``make image-test``.

It needs root, buildah, podman, runc and debootstrap (`apt-get install --no-install-recommends` brings them), and no
registry: where the base image is not on this machine, one is made from Debian's packages. Each check says what it saw;
the exit status is 1 where something is not as it must be.
"""

from __future__ import annotations

import argparse
import shutil
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from scripts.image_test.base import base_name, make_base
from scripts.image_test.checks import CHECKS, WrongError
from scripts.image_test.tools import Tools, ToolsError
from tests.models import hungry_model_bytes, slow_model_bytes, write_version

ROOT: Final = Path(__file__).parents[2]
CONTAINERFILE: Final = ROOT / "Containerfile"


def main() -> int:
    """Do it all; the exit status."""
    parser = argparse.ArgumentParser(
        prog="make image-test", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--image", default="localhost/foretell:image-test", help="what it is called; %(default)s"
    )
    parser.add_argument("--no-build", action="store_true", help="try the image that is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="foretell-image-") as folder:
        try:
            tools = Tools(Path(folder))
            if not arguments.no_build:
                build(tools, arguments.image)
            models = Path(folder) / "models"
            fill(models)
            Path(folder).chmod(0o755)  # the container's user reads the models
            for check in CHECKS:
                began = time.monotonic()
                print(
                    f"{check.__name__}: {check(tools, arguments.image, models)} [{time.monotonic() - began:.0f} s]",
                    flush=True,
                )
        except (ToolsError, WrongError) as error:
            print(f"image-test: {error}", file=sys.stderr)
            return 1
    return 0


def build(tools: Tools, image: str) -> None:
    """Build the image, and its base if it is not here."""
    base = base_name(CONTAINERFILE)
    began = time.monotonic()
    if "true" not in tools.run("sh", "-c", f"podman image exists {base} && echo true", check=False):
        make_base(tools, base)
        print(f"base: {base} made from Debian's packages [{time.monotonic() - began:.0f} s]", flush=True)
    began = time.monotonic()
    authorities = ssl.get_default_verify_paths().cafile
    trusted = ("--volume", f"{authorities}:{authorities}:ro") if authorities else ()
    tools.run(
        *(
            "buildah",
            "build",
            "--isolation",
            "chroot",
            "--pull-never",
            "--network",
            "host",
            "--format",
            "docker",
        ),
        *(*trusted, "--tag", image, "--file", str(CONTAINERFILE), str(ROOT)),
    )
    print(f"build: {image} [{time.monotonic() - began:.0f} s]", flush=True)


def fill(models: Path) -> None:
    """A sample model, one that takes a second, and one that takes as much memory as it is asked for."""
    shutil.copytree(ROOT / "model_store" / "iris", models / "iris")
    write_version(models, "slow", 1, slow_model_bytes(512, 60))
    write_version(models, "hungry", 1, hungry_model_bytes())


if __name__ == "__main__":
    sys.exit(main())
