"""An HTTP proxy that does to a client of a real server what networks and busy servers do; connections are kept."""

import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

#: Busy and broken answer without asking the server; so does conflict, of two writers at once. A reset comes before it
#: is asked; lost and truncated are what comes after.
Fault = Literal["busy", "broken", "conflict", "reset", "lost", "truncated", "slow"]
Chooser = Callable[[str, str, Mapping[str, str]], Fault | None]

_ANSWERS = {
    "busy": (503, "SlowDown"),
    "broken": (500, "InternalError"),
    "conflict": (409, "ConditionalRequestConflict"),
}
_NOT_PASSED_ON = ("expect", "connection", "transfer-encoding", "content-length")
_PIECES, _PIECE_SECONDS = 8, 0.02


@dataclass
class FaultyProxy:
    """Passes requests on to a server, more or less.

    Attributes:
        url: Its own address.
        choose: Says by method, path and headers what goes wrong; may be changed at any time.
        done: How often each has: an answer without a body cannot be cut.
        slow_seconds: How long a slow answer is in coming.
    """

    url: str = ""
    choose: Chooser = lambda *_: None
    done: Counter[str] = field(default_factory=Counter)
    slow_seconds: float = 0.1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def chosen(self, method: str, path: str, headers: Mapping[str, str]) -> Fault | None:
        """What goes wrong with this one."""
        with self._lock:
            return self.choose(method, path, headers)

    def count(self, fault: Fault) -> None:
        """Notes that it has gone wrong."""
        with self._lock:
            self.done[fault] += 1


@contextmanager
def faulty_proxy_to(server: str) -> Iterator[FaultyProxy]:
    """A proxy before a server, on a free port."""
    proxy = FaultyProxy()
    place = urlsplit(server).netloc

    class Handler(_Handler):
        def setup(self) -> None:
            super().setup()
            self.proxy, self.upstream = proxy, http.client.HTTPConnection(place)

        def finish(self) -> None:
            self.upstream.close()
            super().finish()

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: object) -> None:
            """Clients that were killed say nothing."""

    listener = Listener(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy
    upstream: http.client.HTTPConnection

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.chosen(self.command, self.path, self.headers)
        if fault and fault != "truncated":
            self.proxy.count(fault)
        if fault == "reset":
            self._reset()
        elif fault in _ANSWERS:
            self._refuse(*_ANSWERS[fault])
        else:
            self._relay(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = pass_on

    def log_message(self, *_: object) -> None:
        pass

    def _relay(self, body: bytes, fault: Fault | None) -> None:
        answer, data = self._ask(body)
        if fault == "lost":
            self._reset()
            return
        if fault == "slow":
            time.sleep(self.proxy.slow_seconds)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _NOT_PASSED_ON:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if fault == "truncated" and data:
            self.proxy.count(fault)
            self.wfile.write(data[: len(data) // 2])
            self._reset()
        elif fault == "slow":
            size = -(-len(data) // _PIECES) or 1
            for start in range(0, len(data), size):
                time.sleep(_PIECE_SECONDS)
                self.wfile.write(data[start : start + size])
        else:
            self.wfile.write(data)

    def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        """Asks the server itself; once more if it has closed a connection that was kept."""
        for attempt in range(2):
            try:
                self.upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in ("expect", "connection"):
                        self.upstream.putheader(name, value)
                self.upstream.endheaders(body)
                answer = self.upstream.getresponse()
                return answer, answer.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                self.upstream.close()
                if attempt:
                    raise
        raise AssertionError("two attempts end")

    def _refuse(self, status: int, code: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def _reset(self) -> None:
        """Ends the connection as a machine does that is switched off."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
