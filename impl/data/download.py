"""Files from the web: resumed after a cut or a kill, several at once, whole and as published, or not there at all.

`huggingface_hub` lists files and brings the session. Its own download starts again after a kill and loses up to 10 MB
with every cut, hence this one. Test with `pytest -m meta bench/meta/test_download.py`.
"""

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from impl.data import atomic
from impl.data.errors import DataError
from impl.data.progress import Report

AT_ONCE = 4
RETRIES = 5  # in a row without one more byte
WRONG = 3  # retries that a whole but wrong file takes: two downloads of it are enough
PAUSE_S, LONGEST_PAUSE_S, TIMEOUT_S = 1.0, 600.0, 30.0
PASSING = (408, 425, 429, 500, 502, 503, 504)
AGAIN = "run the same command again: it goes on where it stopped"
INSTALL = "run: pip install huggingface_hub"
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Remote:
    """A published file; `size_bytes` and `sha256` where they are published."""

    url: str
    size_bytes: int | None = None
    sha256: str | None = None


class Stopped(Exception):
    """Another download has failed or the user has interrupted."""


class _Passing(Exception):
    """Worth another try, after `wait_s` where the server says so; `cost` of them are taken off the retries."""

    def __init__(self, reason: object, wait_s: float | None = None, cost: int = 1):
        super().__init__(reason)
        self.wait_s, self.cost = wait_s, cost


def fetch_all(
    wanted: Sequence[tuple[Remote, Path]], headers: dict[str, str], label: str, report: Report
) -> Iterator[Path]:
    """Paths in order, each as soon as it is there, `AT_ONCE` downloads at a time; what stands is not asked for.

    Raises DataError, after which the other downloads stop.
    """
    missing = [(remote, path) for remote, path in wanted if not path.exists()]
    total = sum(remote.size_bytes or 0 for remote, _ in missing)
    done = sum(_length(_part(path)) for _, path in missing)
    lock, stop = threading.Lock(), threading.Event()

    def count(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            report(f"{label} bytes", done, max(total, done))

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        running = {path: pool.submit(fetch, remote, path, headers, count, stop) for remote, path in missing}
        for _, path in wanted:
            if path in running:
                running[path].result()
            yield path
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def fetch(
    remote: Remote, path: Path, headers: dict[str, str], on_bytes: Callable[[int], None], stop: threading.Event
) -> None:
    """Make `path`, going on with the part that an earlier attempt left beside it.

    Raises DataError for what the server refuses, and where tries in a row bring nothing new.
    """
    part, failures, pause_s = _part(path), 0, PAUSE_S
    furthest = _length(part)  # not the last attempt's: a part that is removed and comes again is nothing new
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            _append(remote, part, headers, on_bytes, stop)
            _verify(remote, part)
            break
        except _Passing as problem:
            more, furthest = _length(part) > furthest, max(furthest, _length(part))
            failures = 0 if more else failures + problem.cost
            pause_s = PAUSE_S if more else min(2 * pause_s, LONGEST_PAUSE_S)
            if failures > RETRIES:
                raise DataError(remote.url, f"{problem}, again and again", AGAIN) from None
            if stop.wait(min(problem.wait_s or pause_s, LONGEST_PAUSE_S)):
                raise Stopped from None
    atomic.settle(part, path)


def require_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise DataError where the disk of `folder` has less."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        reason = f"{what} needs {needed_bytes / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free"
        raise DataError(folder, reason, "free space, take fewer --shards or name another cache ($NANOMARK_CACHE)")


def left_bytes(wanted: Sequence[tuple[Remote, Path]]) -> int:
    """What is still to be downloaded."""
    return sum((r.size_bytes or 0) - _length(_part(path)) for r, path in wanted if not path.exists())


def library(name: str) -> Any:
    """`huggingface_hub`, which not everybody needs. Raises DataError where it is not installed."""
    try:
        import huggingface_hub
    except ImportError:
        raise DataError(name, "huggingface_hub, which downloads it, is not installed", INSTALL) from None
    return huggingface_hub


def _append(remote: Remote, part: Path, headers: dict[str, str], on_bytes, stop: threading.Event) -> None:
    """Ask for what `part` lacks and write it as it arrives."""
    import httpx2

    hub, have = library(remote.url), _length(part)
    if remote.size_bytes is not None and have >= remote.size_bytes:
        return
    asked = {**headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with hub.get_session().stream("GET", remote.url, headers=asked, timeout=TIMEOUT_S) as answer:
            _require_answer(remote, answer, part)
            goes_on = _goes_on(answer, have)
            if have and not goes_on:
                on_bytes(-have)
            with part.open("ab" if goes_on else "wb") as file:
                for block in answer.iter_raw():
                    file.write(block)
                    on_bytes(len(block))
                    if stop.is_set():
                        raise Stopped
                    if remote.size_bytes is not None and file.tell() > remote.size_bytes:
                        break
    except httpx2.TransportError as error:
        raise _Passing(f"the connection fails ({type(error).__name__}: {error})") from None
    except httpx2.HTTPError as error:
        raise DataError(remote.url, f"no answer ({type(error).__name__}: {error})", AGAIN) from None


def _goes_on(answer: Any, have: int) -> bool:
    """Whether it begins where the part ends; a server may send everything instead, or another part."""
    return answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _require_answer(remote: Remote, answer: Any, part: Path) -> None:
    status = answer.status_code
    if status == 416:  # the part is longer than the file: it is of another one
        part.unlink(missing_ok=True)
        raise _Passing("the server has no bytes from there on")
    if status in PASSING:
        raise _Passing(f"the server answers {status}", _retry_after_s(answer.headers.get("Retry-After")))
    if status in (401, 403):
        raise DataError(remote.url, f"the server answers {status}", "log in (hf auth login) or set $HF_TOKEN")
    if status not in (200, 206):
        raise DataError(remote.url, f"the server answers {status}", "check the name, and $HF_ENDPOINT if you set it")


def _verify(remote: Remote, part: Path) -> None:
    """Raise `_Passing` unless `part` is what is published; one that no more bytes can mend is removed."""
    found, size = _length(part), remote.size_bytes
    if size is not None and found < size:
        raise _Passing(f"{found} bytes of {size} arrive")
    if size is not None and found > size:
        part.unlink()
        raise _Passing(f"more than its {size} bytes arrive", cost=WRONG)
    if remote.sha256:
        sha = hashlib.sha256()
        with part.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                sha.update(block)
        if sha.hexdigest() != remote.sha256:
            part.unlink()
            raise _Passing("its SHA-256 is not the published one", cost=WRONG)


def _retry_after_s(stated: str | None) -> float | None:
    """Seconds, from a number or a date."""
    if stated is None:
        return None
    try:
        return max(0.0, float(stated))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(stated) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return None


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
