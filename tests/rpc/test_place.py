from __future__ import annotations

import msgspec
import pytest

from foretell.errors import SettingsError
from foretell.http.listening import bind
from foretell.rpc.place import host_and_port, place_of
from foretell.settings import GrpcSettings, ServerSettings, Settings


def test_it_is_off_until_a_port_is_set_and_then_where_http_is() -> None:
    assert host_and_port(Settings()) is None
    server = ServerSettings(host="::1", port=1)
    assert host_and_port(Settings(server=server, grpc=GrpcSettings(port=0))) == ("::1", 0)
    assert host_and_port(Settings(server=server, grpc=GrpcSettings(port=2, host="127.0.0.1"))) == (
        "127.0.0.1",
        2,
    )


def test_http_and_grpc_cannot_have_one_port_at_one_address() -> None:
    settings = Settings(server=ServerSettings(port=9), grpc=GrpcSettings(port=9))
    with pytest.raises(SettingsError, match=r"grpc\.port and server.port are both 9"):
        host_and_port(settings)
    elsewhere = msgspec.structs.replace(settings, grpc=GrpcSettings(port=9, host="127.0.0.2"))
    assert host_and_port(elsewhere) == ("127.0.0.2", 9)


@pytest.mark.parametrize(("host", "beginning"), [("127.0.0.1", "127.0.0.1:"), ("::1", "[::1]:")])
def test_an_address_is_written_as_grpc_does(host: str, beginning: str) -> None:
    (bound,) = bind(host, 0)
    with bound:
        place = place_of([bound], shared=True)
        assert place.addresses == (f"{beginning}{bound.getsockname()[1]}",)
        assert place.fields == {"grpc": place.addresses[0]}
