"""A TCP proxy whose connections can be made to stall: open, but nothing comes through."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

CHUNK = 65536


class Proxy:
    """Forwards what it is sent to a port of this machine, unless it stalls.

    What stalls is not lost: it arrives when the connection recovers, even if its sender has given
    up, as with a network that drops packets for a while.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = {"there": threading.Event(), "back": threading.Event()}
        for gate in self._open.values():
            gate.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @contextlib.contextmanager
    def stalled(self, *directions: str) -> Iterator[None]:
        """Nothing comes through ``there`` (to the server) or ``back``, as named."""
        for direction in directions:
            self._open[direction].clear()
        try:
            yield
        finally:
            for direction in directions:
                self._open[direction].set()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open["there"].wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        back = threading.Thread(target=self._forward, args=(server, client, "back"), daemon=True)
        back.start()
        self._forward(client, server, "there")
        back.join()
        client.close()
        server.close()

    def _forward(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._open[direction].wait()
                target.sendall(data)
            self._open[direction].wait()
            target.shutdown(socket.SHUT_WR)
