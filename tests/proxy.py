"""An HTTP proxy that loses things: what a network does to a client of a real server."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Loss = Literal["request", "answer", "half of the answer"]
Chooser = Callable[[str, str], Loss | None]


@dataclass
class Proxy:
    """Passes requests on to a server.

    Attributes:
        url: Its own address.
        lose: Says by method and path what of a request is to be lost; may be changed at any time.
        seen: Method and path of every request, in order.
    """

    url: str
    lose: Chooser = lambda _method, _path: None
    seen: list[tuple[str, str]] = field(default_factory=list)

    def lose_once(self, what: Loss, method: str, query: str = "") -> None:
        """Loses that much of the next request of this kind."""
        left = [what]

        def lose(asked: str, path: str) -> Loss | None:
            return left.pop() if left and asked == method and query in path else None

        self.lose = lose


@contextmanager
def proxy_to(server: str) -> Iterator[Proxy]:
    """A proxy before a server, on a free port."""
    proxy = Proxy(url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            proxy.seen.append((self.command, self.path))
            loss = proxy.lose(self.command, self.path)
            self.close_connection = True
            if loss == "request":
                return
            connection = http.client.HTTPConnection(urlsplit(server).netloc)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            if loss == "answer":
                return
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if loss else data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
