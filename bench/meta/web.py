"""A server with the public hub's addresses on this machine, whose answers go wrong in the ways that downloads do.

Test with `pytest -m meta bench/meta/test_download.py`.
"""

import hashlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

PAGE = 2  # entries of a listing at a time
STALL_S = 3.0


@dataclass
class Web:
    """`files` of "owner/name@revision/path"; each answer to a file's address takes the next of its `moods`."""

    files: dict[str, bytes] = field(default_factory=dict)
    moods: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # (file, Range)
    sent_bytes: int = 0
    block_bytes: int = 2**16
    block_s: float = 0.0
    url: str = ""


@contextmanager
def serving() -> Iterator[Web]:
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"web": web}))
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    web: Web

    def do_GET(self):
        parts = urlsplit(self.path)
        steps = [unquote(step) for step in parts.path.strip("/").split("/")]
        if steps[:2] == ["api", "datasets"]:
            self._list(f"{steps[2]}/{steps[3]}@{steps[5]}/" + "".join(f"{step}/" for step in steps[6:]), parts.query)
        elif steps[0] == "api":  # the hub's library wants a list of its own once a day
            self.send_error(404)
        elif steps[0] == "datasets":
            self._file(f"{steps[1]}/{steps[2]}@{steps[4]}/{'/'.join(steps[5:])}")
        else:
            self._file("/".join(steps[1:]), redirected=True)

    def log_message(self, format, *args):
        pass

    def _list(self, under: str, query: str) -> None:
        mood = self._mood("listing")
        if mood != "well":
            return self._refuse(int(mood[:3]), Retry_After=mood[4:] or "0")
        names = sorted(name for name in self.web.files if name.startswith(under) and "/" not in name[len(under) :])
        if not names:
            return self._refuse(404)
        start = int(query.rpartition("cursor=")[2] or 0) if "cursor=" in query else 0
        entries = [self._entry(name) for name in names[start : start + PAGE]]
        body = json.dumps(entries).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if start + PAGE < len(names):
            path = urlsplit(self.path).path
            self.send_header("Link", f'<{self.web.url}{path}?cursor={start + PAGE}>; rel="next"')
        self.end_headers()
        self.wfile.write(body)

    def _entry(self, name: str) -> dict:
        content = self.web.files[name]
        lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        path = name.partition("@")[2].partition("/")[2]
        return {"type": "file", "oid": "0" * 40, "size": len(content), "path": path, "lfs": lfs}

    def _mood(self, name: str) -> str:
        moods = self.web.moods[name]
        return moods.pop(0) if len(moods) > 1 else moods[0] if moods else "well"

    def _refuse(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": "0", **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def _file(self, name: str, redirected: bool = False) -> None:
        wanted = self.headers.get("Range")
        self.web.asked.append((name, wanted))
        mood = self._mood(name)
        if mood == "redirect":
            self.web.moods[name][:0] = ["well"]
            return self._refuse(302, Location=f"{self.web.url}/elsewhere/{name}")
        if mood == "circle":
            return self._refuse(302, Location=self.path)
        if mood.startswith("429"):
            return self._refuse(429, Retry_After=mood.partition(" ")[2])
        if mood.isdecimal():
            return self._refuse(int(mood))
        if name not in self.web.files:
            return self._refuse(404)
        whole = self.web.files[name]
        content = {"other": whole[:-9] + b"123456789", "shorter": whole[: len(whole) // 2]}.get(mood, whole)
        content += b"more" if mood == "longer" else b""
        start = int(wanted.partition("=")[2].rstrip("-")) if wanted and mood != "no ranges" else 0
        if start and start >= len(content):
            return self._refuse(416)
        self._send(content, start, mood)

    def _send(self, content: bytes, start: int, mood: str) -> None:
        body = content[start:]
        promised = {"says more": len(body) + 1000, "says less": len(body) // 2}.get(mood, len(body))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(promised))
        if start:
            told = 0 if mood == "wrong range" else start
            self.send_header("Content-Range", f"bytes {told}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = body[: len(body) // 2] if mood in ("cut", "stall") else body[:promised]
        for begin in range(0, len(body), self.web.block_bytes):
            block = body[begin : begin + self.web.block_bytes]
            try:
                self.wfile.write(block)
            except OSError:  # the reader is gone
                break
            self.web.sent_bytes += len(block)
            time.sleep(0.02 if mood == "slow" else self.web.block_s)
        if mood == "stall":
            self.wfile.flush()
            time.sleep(STALL_S)
        self.close_connection = True
