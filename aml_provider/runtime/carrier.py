"""Carries a step's files between an object store and a pod that shares no volume with the worker.

It is one file of the standard library, and runs by itself in the pod's staging containers, which have a Python, network
and what the worker ordered: ``carrier.py in`` before the step, ``carrier.py out`` beside it. The order is an object of
the store, with a signed address for everything that is read or written. The address of the order is a file of a
Kubernetes secret; whoever has it can do what the order says until it expires, and nothing else.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import select
import stat
import sys
import tarfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

ORDER_VERSION = 1
_ADDRESS = os.environ.get("AML_ORDER", "/run/aml/order")
_TERMINATION_LOG = os.environ.get("AML_TERMINATION_LOG", "/dev/termination-log")
_TRIES = 5
_BLOCK = 1 << 20
_TIMEOUT_SECONDS = 120
_JOURNAL_SECONDS = 5.0
_PAUSE = float(os.environ.get("AML_CARRIER_PAUSE", "1"))
# What a store says of a signature that has expired, and how long somebody is waited for who signs anew.
_EXPIRED = (400, 401, 403)
_FRESH_SECONDS = 600
"""Younger addresses have not expired: who signs with credentials of a short life renews those before."""
_RENEWAL_SECONDS = float(os.environ.get("AML_RENEWAL_SECONDS", "3600"))


class CarrierError(Exception):
    """Files that cannot be carried; the message is a sentence without addresses, which are secret.

    :param status: the store's last answer; 0 when there was none, ``None`` when it was not asked.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def main(direction: str) -> int:
    """Bring the step's files in, or collect them.

    :return: exit code; 0: everything is where it should be.
    """
    try:
        if direction == "in":
            bring(_order())
        else:
            collect(_order())
    except (CarrierError, OSError) as error:
        sentence = str(error) if isinstance(error, CarrierError) else _of_disk(error)
        print(f"aml: {sentence}", flush=True)
        _leave(sentence)
        return 1
    return 0


def _of_disk(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"the pod's disk cannot be used: {error.strerror or error}{where}."


def _leave(sentence: str) -> None:
    """Where Kubernetes shows it as the container's last word."""
    try:
        with open(_TERMINATION_LOG, "w", encoding="utf-8") as file:
            file.write(sentence)
    except OSError:
        return  # not in a pod


# --- the store --------------------------------------------------------------------------------------------------


def _order() -> dict[str, Any]:
    with open(_ADDRESS, encoding="utf-8") as file:
        address = file.read().strip()
    order: dict[str, Any] = json.loads(_read({"url": address, "headers": {}}, "the step's order"))
    if order.get("version") != ORDER_VERSION:
        raise CarrierError(
            f"the step's order has version {order.get('version')!r}, this program reads {ORDER_VERSION}."
        )
    return order


def _ask(request: dict[str, Any], what: str, body: Callable[[], Any] | None = None, size: int = 0) -> Any:
    """Read or write one object; a store that does not answer is asked again.

    :param body: gives what is written, anew for every try.
    :raises CarrierError: it cannot be done.
    """
    doing = "read" if body is None else "written"
    status, why = 0, ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE * 2**attempt)
        headers = dict(request["headers"])
        if body is not None:
            headers["Content-Length"] = str(size)
            headers.setdefault("Content-Type", "application/octet-stream")
        asked = urllib.request.Request(
            request["url"], data=None if body is None else body(), headers=headers, method="PUT" if body else "GET"
        )
        try:
            return urllib.request.urlopen(asked, timeout=_TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            status, why = error.code, f"the store answers {error.code} {error.reason}"
            error.close()
            if status < 500 and status not in (408, 429):
                break
        except (OSError, http.client.HTTPException) as error:
            # What is read from the pod's own disk fails with a name; the network has none.
            if isinstance(error, OSError) and error.filename:
                raise
            reason = getattr(error, "reason", None) or error
            status, why = 0, f"the store does not answer ({reason})"
    raise CarrierError(f"{what} could not be {doing}: {why}.", status)


def _read(request: dict[str, Any], what: str) -> bytes:
    content = bytearray()
    _download(request, what, content.extend)
    return bytes(content)


def _download(request: dict[str, Any], what: str, take: Callable[[bytes], Any]) -> int:
    """Read one object; after a connection that broke off, from there on."""
    got = 0
    for attempt in range(_TRIES):
        headers = {**request["headers"], "Range": f"bytes={got}-"} if got else request["headers"]
        try:
            with _ask({"url": request["url"], "headers": headers}, what) as answer:
                if got and answer.status != 206:
                    raise CarrierError(f"{what} could not be read: the connection broke off.")
                total = got + int(answer.headers.get("Content-Length") or 0)
                while True:
                    block = answer.read(_BLOCK)
                    if not block:
                        break
                    take(block)
                    got += len(block)
                if got >= total:
                    return got
        except http.client.HTTPException:
            pass  # broken off: the rest is asked for
        except OSError as error:
            if error.filename or isinstance(error, urllib.error.URLError):
                raise
            if error.errno in _DISK:
                raise
        time.sleep(_PAUSE * 2**attempt)
    raise CarrierError(f"{what} could not be read: the connection broke off again and again.")


_DISK = (28, 122, 5, 30)
"""Full, over quota, broken, read-only: of writing to the disk, not of the network."""


# --- in -----------------------------------------------------------------------------------------------------------


def bring(order: dict[str, Any]) -> None:
    """Lay out the step's files as the order says, and the pipe by which its life is known."""
    base = order["base"]
    os.umask(0)
    bundle = os.path.join(base, ".bundle")
    with open(bundle, "wb") as file:
        _download(order["bundle"], "the step's code", file.write)
    with tarfile.open(bundle) as archive:
        # It is the worker's own; where Python would rather be told what to trust, this is told.
        archive.extraction_filter = getattr(tarfile, "tar_filter", None)
        archive.extractall(base)
    os.unlink(bundle)
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(lambda item: _fetch(base, item), order["objects"]):
            continue
    os.mkfifo(os.path.join(base, order["life"]), 0o666)
    print(f"aml: brought the step's code and {len(order['objects'])} objects", flush=True)


def _fetch(base: str, item: dict[str, Any]) -> None:
    target = os.path.join(base, item["target"])
    what = f"input {item['input']!r}, {item['path']!r} in datastore {item['datastore']!r},"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        size = _download(item, what, file.write)
    if item["size"] is not None and size != item["size"]:
        raise CarrierError(f"{what} has changed while it was fetched; wait until whatever writes it has ended.")
    os.chmod(target, item["mode"])


# --- out ----------------------------------------------------------------------------------------------------------


def collect(order: dict[str, Any]) -> None:
    """Follow the step to its end, and bring what it leaves to the store; the receipt is the last thing written.

    :raises CarrierError: something could not be written; there is no receipt then.
    """
    base = order["base"]
    _follow(base, order)
    report = _report(base, order)
    finished = report is not None and report.get("exit_code") == 0 and not report.get("error")
    archives = [a for a in order["archives"] if finished or not a["output"]]
    receipt: dict[str, Any] = {"version": ORDER_VERSION, "archives": {}}
    for wanted in archives:
        archive = Archive(base, wanted["roots"], wanted["flat"])
        what = f"output {wanted['name']!r}" if wanted["output"] else "the step's log and report"
        receipt["archives"][wanted["key"]] = _send(archive, wanted["key"], what, order)
    text = json.dumps(receipt).encode()
    _renewed(lambda o: _ask(o["receipt"], "the receipt of the step's files", lambda: text, len(text)).close(), order)


def _report(base: str, order: dict[str, Any]) -> dict[str, Any] | None:
    try:
        with open(os.path.join(base, order["report"]), "rb") as file:
            found: dict[str, Any] = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _follow(base: str, order: dict[str, Any]) -> None:
    """Copy the step's log to stdout until nothing of the step is left.

    The step's container holds a pipe open, which it cannot open before this does. The kernel closes it however the
    container ends.
    """
    life = os.open(os.path.join(base, order["life"]), os.O_RDONLY | os.O_NONBLOCK)
    poller = select.poll()
    poller.register(life, select.POLLHUP)
    begun = os.path.join(base, order["begun"])
    give_up = time.monotonic() + order["start_seconds"]
    log = journal = 0
    next_journal = time.monotonic() + _JOURNAL_SECONDS
    ended = False
    while not ended:
        ended = bool(poller.poll(200))
        log = _copy_log(os.path.join(base, order["log"]), log)
        if not ended and time.monotonic() > next_journal:
            next_journal = time.monotonic() + _JOURNAL_SECONDS
            journal = _send_journal(base, order, journal)
            if not os.path.exists(begun) and time.monotonic() > give_up:
                raise CarrierError("the container of the step did not start.")
    os.close(life)


def _copy_log(path: str, position: int) -> int:
    try:
        with open(path, "rb") as file:
            file.seek(position)
            while True:
                block = file.read(_BLOCK)
                if not block:
                    return position
                sys.stdout.buffer.write(block)
                sys.stdout.buffer.flush()
                position += len(block)
    except FileNotFoundError:
        return position


def _send_journal(base: str, order: dict[str, Any], sent: int) -> int:
    """What the script has reported so far, for who watches it; the whole of it comes with the rest at the end."""
    try:
        with open(os.path.join(base, order["journal"]), "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return sent
    if len(content) == sent:
        return sent
    try:
        _ask(order["live"], "the journal", lambda: content, len(content)).close()
    except CarrierError as error:
        print(f"aml: metrics are not seen before the step has ended: {error}", flush=True)
        return 1 << 62
    return len(content)


def _renewed(work: Callable[[dict[str, Any]], Any], order: dict[str, Any]) -> Any:
    """Do something with the order's addresses. If they have expired, wait for who signs new ones."""
    until = time.monotonic() + _RENEWAL_SECONDS
    with open(_ADDRESS, encoding="utf-8") as file:
        address = file.read()
    while True:
        try:
            return work(order)
        except CarrierError as error:
            if error.status not in _EXPIRED or time.time() - order["signed"] < _FRESH_SECONDS:
                raise
            print("aml: the store does not take the addresses any more; waiting for new ones", flush=True)
            while True:
                if time.monotonic() > until:
                    raise
                time.sleep(5 * _PAUSE)
                with open(_ADDRESS, encoding="utf-8") as file:
                    new = file.read()
                if new != address:
                    address = new
                    order.update(_order())
                    break


def _send(archive: Archive, key: str, what: str, order: dict[str, Any]) -> list[dict[str, Any]]:
    """Write an archive in parts."""
    part, parts = order["part_bytes"], []
    most = len(_archive_of(order, key)["parts"])
    if archive.size > part * most:
        raise CarrierError(f"{what} is larger than {part * most >> 30} GiB, which is the most that is carried.")
    for number, start in enumerate(range(0, archive.size, part)):
        size = min(part, archive.size - start)
        body = _Hashed(archive, start, size)

        def write(o: dict[str, Any], number: int = number, size: int = size, body: _Hashed = body) -> None:
            _ask(_archive_of(o, key)["parts"][number], what, body.again, size).close()

        _renewed(write, order)
        parts.append({"size": size, "sha256": body.digest})
    return parts


def _archive_of(order: dict[str, Any], key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(a for a in order["archives"] if a["key"] == key)
    return found


class _Hashed:
    """A piece of an archive, and its digest when it has been read."""

    def __init__(self, archive: Archive, start: int, size: int) -> None:
        self._archive, self._start, self._size = archive, start, size
        self.digest = ""

    def again(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for block in self._archive.read(self._start, self._size):
            digest.update(block)
            yield block
        self.digest = digest.hexdigest()


class Archive:
    """A tar archive that is made while it is read, from any place on; its size is known before.

    :param roots: files and folders relative to ``base``, which are called so in the archive. Those that are not there
        are left out.
    :param flat: the name of the (only) root in the archive, ``""`` for its own.
    """

    def __init__(self, base: str, roots: list[str], flat: str) -> None:
        self._entries: list[tuple[bytes, str, int]] = []
        self.size = 0
        for root in roots:
            path = os.path.join(base, root)
            if os.path.lexists(path):
                self._add(path, flat or root)
        self.size += 2 * tarfile.BLOCKSIZE

    def _add(self, path: str, name: str) -> None:
        facts = os.lstat(path)
        info = tarfile.TarInfo(name)
        info.mode, info.mtime = stat.S_IMODE(facts.st_mode), int(facts.st_mtime)
        if stat.S_ISDIR(facts.st_mode):
            info.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(facts.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        elif stat.S_ISREG(facts.st_mode):
            info.size = facts.st_size
        else:
            return  # a pipe, a socket or a device is no data
        header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        self._entries.append((header, path, info.size))
        self.size += len(header) + info.size + _padding(info.size)
        if info.isdir():
            for entry in sorted(os.listdir(path)):
                self._add(os.path.join(path, entry), f"{name}/{entry}")

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """The archive's bytes from ``start`` on."""
        at, end = 0, start + size
        for header, path, length in self._entries:
            for piece, long in ((header, len(header)), (path, length), (bytes(_padding(length)), _padding(length))):
                low, high = max(start - at, 0), min(end - at, long)
                if low < high:
                    yield from _slices(piece, low, high)
                at += long
            if at >= end:
                return
        yield bytes(end - max(at, start))


def _slices(piece: bytes | str, low: int, high: int) -> Iterator[bytes]:
    if isinstance(piece, bytes):
        yield piece[low:high]
        return
    with open(piece, "rb") as file:
        file.seek(low)
        while low < high:
            block = file.read(min(_BLOCK, high - low))
            if not block:
                raise CarrierError(f"{piece} has become shorter while it was collected.")
            low += len(block)
            yield block


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
