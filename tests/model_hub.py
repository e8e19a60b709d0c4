"""A stand-in of the hub for models: the part of its HTTP interface that a download takes.

`GET /api/models/REPO/revision/REVISION` names commit and files; `HEAD` and `GET /REPO/resolve/COMMIT/FILE` give a file
with `ETag`, `X-Repo-Commit` and `Content-Length`.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_API = re.compile(r"/api/models/(?P<repo>.+)/revision/(?P<revision>.+)")
_FILE = re.compile(r"/(?P<repo>.+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@dataclass
class Model:
    """A model: its commits by revision, and the files of each commit."""

    revisions: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None

    def commit(self, folder: Path, revision: str = "main", **more: bytes) -> str:
        """Commits a folder's files to a branch; the commit."""
        files = {path.name: path.read_bytes() for path in folder.iterdir()} | more
        commit = hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()
        self.commits[commit] = files
        self.revisions |= {revision: commit, commit: commit}
        return commit


@dataclass
class ModelHub:
    """The models there are, and what was asked for."""

    url: str
    models: dict[str, Model] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def add(self, repo: str) -> Model:
        """A new model without commits."""
        return self.models.setdefault(repo, Model())

    def downloaded(self) -> list[str]:
        """Names of the files that were sent, sorted."""
        return sorted(
            entry.rpartition("/")[2] for entry in self.seen if entry.startswith("GET") and "/resolve/" in entry
        )


@contextmanager
def serve_models() -> Iterator[ModelHub]:
    """Serves on a free port while open."""
    hub = ModelHub(url="")
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: ModelHub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.seen.append(f"{self.command} {path}")
        match = _API.fullmatch(path) or _FILE.fullmatch(path)
        model = self.hub.models.get(match["repo"]) if match else None
        if not match or model is None:
            self._send(404, error="RepoNotFound")
        elif model.refusal:
            self._send(model.refusal[0], error=model.refusal[1])
        elif match["revision"] not in model.revisions:
            self._send(404, error="RevisionNotFound")
        else:
            self._answer(match.groupdict(), model, model.revisions[match["revision"]])

    do_HEAD = do_GET

    def _answer(self, asked: dict[str, str], model: Model, commit: str) -> None:
        files = model.commits[commit]
        if "file" not in asked:
            siblings = [{"rfilename": name} for name in files]
            self._send(200, json.dumps({"id": asked["repo"], "sha": commit, "siblings": siblings}).encode())
        elif asked["file"] not in files:
            self._send(404, error="EntryNotFound", commit=commit)
        else:
            self._send(200, files[asked["file"]], commit=commit)

    def _send(self, status: int, body: bytes = b"", error: str = "", commit: str = "") -> None:
        self.send_response(status)
        headers = {"X-Error-Code": error, "X-Repo-Commit": commit, "Content-Length": str(len(body))}
        headers["ETag"] = f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"' if commit and body else ""
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
