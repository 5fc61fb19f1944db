"""How a socket stops taking new connections without losing those that wait in it."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
from contextlib import suppress
from typing import Final

__all__ = ["turn_away", "waits"]

_SO_ATTACH_FILTER: Final = 26
"""Source: Linux, include/uapi/asm-generic/socket.h; Python's `socket` has no name for it."""

_ONLY_SYN: Final = (
    (0x30, 0, 0, 13),  # load the flags: byte 13 of the TCP header
    (0x54, 0, 0, 0x12),  # of these, SYN and ACK
    (0x15, 0, 1, 0x02),  # if it is SYN alone,
    (0x06, 0, 0, 0),  # drop the packet;
    (0x06, 0, 0, 0xFFFF_FFFF),  # keep all others
)
"""A classic BPF program: operation, jump if true, jump if false, operand.

Source: Linux kernel documentation, networking/filter; RFC 9293, section 3.1, for the header.
"""


def turn_away(listening: socket.socket) -> None:
    """Let nobody connect to a socket any more, while connections that were made before can still be accepted.

    Closing it resets those that nobody has accepted yet, and between the last look and the close there may be new
    ones. Who comes now hears nothing, and asks again a second later, when the socket is closed. Where the kernel has
    no such filters nothing happens.

    Args:
        listening: A TCP socket that listens. Every process that holds it is concerned.
    """
    program = b"".join(struct.pack("HBBI", *step) for step in _ONLY_SYN)
    held = ctypes.create_string_buffer(program, len(program))
    with suppress(OSError):
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_ONLY_SYN), ctypes.addressof(held))
        )


def waits(listening: socket.socket) -> bool:
    """Whether a connection waits to be accepted."""
    poll = select.poll()
    poll.register(listening, select.POLLIN)
    return bool(poll.poll(0))
