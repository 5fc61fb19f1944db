"""Which file systems tell of changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.store.file_system import gives_events, kind_of

MOUNTS = r"""21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:5 / /srv/models rw - nfs4 server:/models rw
23 22 0:6 / /srv/models/local rw - tmpfs tmpfs rw
24 21 0:7 / /srv/with\040blank rw - fuse.s3fs s3fs rw
25 21 0:8 / /twice rw - cifs //server/share rw
26 25 0:9 / /twice rw master:1 - xfs /dev/vdb rw
not a mount
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("folder", "kind", "events"),
    [
        ("/data", "ext4", True),
        ("/srv/models", "nfs4", False),
        ("/srv/models/deep/down", "nfs4", False),
        ("/srv/models-of-others", "ext4", True),
        ("/srv/models/local/x", "tmpfs", True),
        ("/srv/with blank/x", "fuse.s3fs", False),
        ("/twice/x", "xfs", True),
    ],
)
def test_the_deepest_mount_decides(mounts: Path, folder: str, kind: str, events: bool) -> None:
    assert kind_of(Path(folder), mounts) == kind
    assert gives_events(Path(folder), mounts) is events


@pytest.mark.parametrize("kind", ["nfs", "cifs", "smb3", "fuse", "9p", "virtiofs", "ceph", "lustre"])
def test_network_file_systems_give_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mountinfo"
    path.write_text(f"21 1 0:1 / / rw - {kind} x rw\n")
    assert not gives_events(Path("/x"), path)


def test_a_link_is_followed(mounts: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/srv/models")
    assert kind_of(tmp_path / "link", mounts) == "nfs4"


def test_where_the_kernel_has_no_list_nothing_is_taken_for_granted(tmp_path: Path) -> None:
    assert kind_of(tmp_path, tmp_path / "absent") is None
    assert not gives_events(tmp_path, tmp_path / "absent")


def test_this_machine_has_a_list(tmp_path: Path) -> None:
    assert kind_of(tmp_path) is not None
