"""A plugin of pytest: whatever a suite wants of MongoDB's own port goes to DB_IP and DB_PORT.

Suites name the port in many places, and a machine may have another server on it.
"""

from __future__ import annotations

import os
import socket
import typing

MONGODB_PORT = 27017
connect_as_asked = socket.socket.connect


def connect(self: socket.socket, address: typing.Any) -> None:
    """Connects; to the server under test where the address has MongoDB's port."""
    if isinstance(address, tuple) and address[1] == MONGODB_PORT:
        address = (os.environ["DB_IP"], int(os.environ["DB_PORT"]))
    connect_as_asked(self, address)


socket.socket.connect = connect  # type: ignore[method-assign]
