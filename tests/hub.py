"""A stand-in of the hub for one dataset: the part of its HTTP interface that the `datasets` library streams through."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(dataset: str, files: Mapping[str, bytes], status: int = 200) -> Iterator[str]:
    """Serves a dataset's files, at one commit whatever the revision, or refuses all; its endpoint's address."""
    handler = type("Handler", (_Handler,), {"dataset": dataset, "files": files, "status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    dataset: str
    files: Mapping[str, bytes]
    status: int

    def do_GET(self) -> None:
        if self.status != 200:
            self._send(self.status)
            return
        url = urlsplit(self.path)
        path, api = unquote(url.path), f"/api/datasets/{self.dataset}"
        if path.startswith(f"{api}/revision/"):
            self._json({"id": self.dataset, "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]})
        elif path.startswith(f"{api}/tree/{COMMIT}"):
            self._tree(path.removeprefix(f"{api}/tree/{COMMIT}").strip("/"), "recursive=true" in url.query.lower())
        elif path.startswith(f"/datasets/{self.dataset}/resolve/{COMMIT}/"):
            self._file(path.removeprefix(f"/datasets/{self.dataset}/resolve/{COMMIT}/"))
        else:
            self._send(404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def _tree(self, folder: str, recursive: bool) -> None:
        inside = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, object]] = {}
        for name, data in self.files.items():
            if not name.startswith(inside):
                continue
            parts = name.removeprefix(inside).split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                place = inside + "/".join(parts[:depth])
                entries[place] = {"type": "directory", "path": place, "size": 0, "oid": "0" * 40}
            if recursive or len(parts) == 1:
                entries[name] = {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
        if entries:
            self._json(list(entries.values()))
        else:
            self._send(404, X_Error_Code="EntryNotFound")

    def _file(self, name: str) -> None:
        if name not in self.files:
            self._send(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            return
        data = self.files[name]
        headers = {"ETag": f'"{_oid(data)}"', "X_Repo_Commit": COMMIT}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and self.command == "GET":
            first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
            self._send(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)
        else:
            self._send(200, data, **headers)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), Content_Type="application/json")

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
