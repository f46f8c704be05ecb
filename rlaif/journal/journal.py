"""The journal as a folder: appending, reading back, replaying.

Owns the segments ``000001.jsonl``, ``000002.jsonl``, ... and the in-memory index of calls and commits.
One process at a time may hold a journal; the workspace's lock sees to that. Leaves the line format to
`lines`.

KIND and KEY of an entry: ``I`` intent, ``R`` reply and ``F`` fault carry the request key, ``C`` commit the
job id. So a scan indexes everything without parsing JSON.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from pydantic import JsonValue

from rlaif.errors import StoreError
from rlaif.journal import lines
from rlaif.journal.durability import GroupSync
from rlaif.journal.ledger import Ledger, Spend
from rlaif.journal.lines import Repair
from rlaif.providers.base import RawReply
from rlaif.records import RECORDS, Fact

SEGMENT_BYTES: Final = 64 * 2**20
"""A segment that would grow past this is closed and the next one begun."""

_OFFSET_BITS: Final = 40
_NAME: Final = re.compile(r"\d{6}\.jsonl")
_RECORDS: Final = {record.kind: record for record in RECORDS}


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the sequence of commits."""

    segment: int
    """Number of the segment, from 1."""
    offset: int
    """Byte after the newline of the last commit."""
    crc: int
    """Running CRC-32 over all commit lines up to here, newlines excluded."""


START: Final = Position(0, 0, 0)
"""The position before the first commit."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed attempt."""

    attempt: int
    """1 for the first attempt of its call."""
    reason: str
    """What went wrong, in a clause."""
    billed: float
    """USD charged, or the worst case where the provider may have charged."""
    text: str | None = None
    """The body that came back, where one did and could not be read."""


@dataclass(frozen=True, slots=True)
class Call:
    """All that is known of one request key."""

    key: str
    """Request key."""
    intent: Mapping[str, JsonValue] | None
    """``job_id provider model reserved body`` of the latest attempt."""
    reply: RawReply | None
    """The raw reply, once there is one."""
    cost: float | None
    """USD the reply cost."""
    faults: tuple[Fault, ...]
    """Failed attempts, oldest first."""


class Journal:
    """An open journal: appends from one event loop, reads from any thread.

    The index holds about 0.4 kB a call and 24 bytes a commit.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare an empty index; `open` is the way in."""
        self.folder = folder
        self.repair = Repair()
        # Who is buying which call now. Invariant: a key is here exactly while its leader buys it, so no
        # key is ever out twice, whichever jobs of this process ask for it.
        self.flights: dict[str, tuple[object, asyncio.Future[None]]] = {}
        self._files: dict[int, int] = {}  # segment -> descriptor, open until close()
        self._segment = 0
        self._size = 0
        self._intents: dict[bytes, int] = {}  # key -> place of its line
        self._replies: dict[bytes, int] = {}
        self._faults: dict[bytes, tuple[int, ...]] = {}
        self._starts = array("Q")  # places of the commits: start, end, running CRC
        self._ends = array("Q")
        self._crcs = array("Q")
        self._ledger: Ledger | None = None  # built at the first question about money
        self._refusal: StoreError | None = None  # set when nothing more may be written
        self._group = GroupSync(self._fsync)

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Open or create the journal in ``folder``, mending whatever damage it finds.

        An unfinished last line is cut. Any other line that fails its checksum is moved to
        ``SEGMENT.damaged-N`` and its segment replaced in one rename. Entries that are whole are kept,
        even when a neighbour's newline was lost. What happened is in ``repair``.

        Raises:
            StoreError: the folder cannot be read or written.
        """
        journal = cls(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            found = journal._found()
            for number in found:
                journal._load(number, last=number == found[-1])
            for number in found or [1]:
                journal._attach(number)
        except OSError as error:
            raise journal._refuse(error) from error
        return journal

    # Writing

    def intent(
        self,
        key: str,
        *,
        job_id: str,
        provider: str,
        model: str,
        body: Mapping[str, JsonValue],
        reserved: float,
    ) -> None:
        """Record that an attempt is about to be sent; written, not yet fsync'd, on return.

        Args:
            key: request key.
            job_id: the job that pays.
            provider: provider name.
            model: model name without the provider.
            body: wire body, as it will be sent.
            reserved: worst case of the attempt, USD.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        entry = {
            "job_id": job_id, "provider": provider, "model": model, "reserved": reserved, "body": body,
        }  # fmt: skip
        self._append(b"I", key, entry)
        if self._ledger is not None:
            self._ledger.intend(job_id, key, reserved)

    async def reply(self, key: str, raw: RawReply, *, job_id: str, attempt: int, cost: float) -> None:
        """Record what came back and what it cost, USD; durable on return.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        entry = {
            "job_id": job_id, "attempt": attempt, "cost": cost,
            "latency": raw.latency, "headers": dict(raw.headers), "text": raw.text,
        }  # fmt: skip
        self._append(b"R", key, entry)
        if self._ledger is not None:
            self._ledger.settle(job_id, key, cost, answered=True)
        await self._durable()

    async def fault(
        self,
        key: str,
        *,
        job_id: str,
        attempt: int,
        reason: str,
        billed: float,
        text: str | None = None,
    ) -> None:
        """Record that an attempt failed and what it may have cost; durable on return.

        Args:
            key: request key.
            job_id: the job that pays.
            attempt: 1 for the first attempt of the call.
            reason: what went wrong, in a clause without secrets.
            billed: USD charged, or the worst case where that is unknown; 0 when nothing was.
            text: the body, when a reply came back that could not be read.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        entry = {"job_id": job_id, "attempt": attempt, "reason": reason, "billed": billed, "text": text}
        self._append(b"F", key, entry)
        if self._ledger is not None:
            self._ledger.settle(job_id, key, billed, answered=False)
        await self._durable()

    async def commit(self, records: Sequence[Fact], *, job_id: str) -> Position:
        """Record what a task concluded, all of it or nothing; durable on return.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        self._append(b"C", job_id, {"records": [[one.kind, one] for one in records]})
        position = self.position()
        await self._durable()
        return position

    async def close(self) -> None:
        """Make everything durable and close the files; closing twice is harmless.

        Raises:
            StoreError: the last entries could not be made durable.
        """
        if not self._files:
            return
        try:
            if self._refusal is None:
                await self._durable()
        finally:
            self._refusal = self._refusal or StoreError(f"the journal {self.folder} is closed")
            self._group.close()
            for descriptor in self._files.values():
                os.close(descriptor)
            self._files.clear()

    # Reading

    def raw(self, key: str) -> RawReply | None:
        """The reply bought for ``key``, or None.

        Raises:
            StoreError: the line was damaged after the journal was opened.
        """
        place = self._replies.get(key.encode())
        return None if place is None else _raw(self._entry(place))

    def call(self, key: str) -> Call | None:
        """Everything recorded under ``key``, or None.

        Raises:
            StoreError: a line was damaged after the journal was opened.
        """
        name = key.encode()
        places = [index.get(name) for index in (self._intents, self._replies)]
        intent, reply = (None if place is None else self._entry(place) for place in places)
        faults = [self._entry(place) for place in self._faults.get(name, ())]
        if intent is None and reply is None and not faults:
            return None
        return Call(
            key=key,
            intent=intent,
            reply=None if reply is None else _raw(reply),
            cost=None if reply is None else reply["cost"],
            faults=tuple(Fault(f["attempt"], f["reason"], f["billed"], f["text"]) for f in faults),
        )

    def troubled(self) -> list[str]:
        """Keys of the calls that had a failed attempt, the newest first."""
        return [key.decode() for key in reversed(list(self._faults))]

    def spend(self, job_id: str) -> Spend:
        """What a job has paid, and what it may have paid for attempts that were cut off."""
        if self._ledger is None:
            self._ledger = self._audit()
        return self._ledger.spend(job_id)

    def position(self) -> Position:
        """The place after the last commit."""
        return self._position(len(self._ends) - 1)

    def holds(self, position: Position) -> bool:
        """Whether the commits up to ``position`` are, byte for byte, those of this journal."""
        if position == START:
            return True
        at = bisect_left(self._ends, _pack(position.segment, position.offset))
        return at < len(self._ends) and self._position(at) == position

    def commits(self, since: Position | None = None) -> Iterator[tuple[Position, list[Fact]]]:
        """Commits after ``since`` (None: all), oldest first, each with the place after it.

        Raises:
            StoreError: ``since`` is no position of this journal (see `holds`).
        """
        at = 0
        if since is not None and since != START:
            if not self.holds(since):
                raise StoreError(f"{since!r} is no place in {self.folder}; run: rlaif db rebuild")
            at = bisect_left(self._ends, _pack(since.segment, since.offset)) + 1
        while at < len(self._ends):  # not a range: commits may arrive meanwhile
            records = self._entry(self._starts[at])["records"]
            yield self._position(at), [_RECORDS[kind].model_validate(one) for kind, one in records]
            at += 1

    # Inside

    def _found(self) -> list[int]:
        """Numbers of the segments on disk, in order."""
        names = (path.name for path in self.folder.iterdir())
        return sorted(int(name[:6]) for name in names if _NAME.fullmatch(name))

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:06d}.jsonl"

    def _load(self, segment: int, *, last: bool) -> None:
        """Index one segment, mending it first if need be."""
        path = self._path(segment)
        data = path.read_bytes()
        sound, broken = lines.split(data)
        if broken:
            data, repair = lines.mend(path, data, broken, last=last)
            self.repair += repair
            sound, _ = lines.split(data)
        view = memoryview(data)
        for start, end in sound:
            key = data[start + 11 : data.index(b" ", start + 11)]
            self._note(view[start:end], key, _pack(segment, start))

    def _note(self, line: memoryview, key: bytes, place: int) -> None:
        """Index the line, newline excluded, that begins at ``place``."""
        kind = line[9]
        if kind == ord("I"):
            self._intents[key] = place
        elif kind == ord("R"):
            self._replies.setdefault(key, place)  # the first answer stands for good
        elif kind == ord("F"):
            self._faults[key] = (*self._faults.get(key, ()), place)
        else:
            self._starts.append(place)
            self._crcs.append(crc32(line, self._crcs[-1] if self._crcs else 0))
            self._ends.append(place + len(line) + 1)  # last: readers in other threads go by it

    def _audit(self) -> Ledger:
        """Add up every call entry on disk."""
        ledger = Ledger()
        for segment in sorted(self._files):
            data = self._path(segment).read_bytes()
            for start, end in lines.split(data)[0]:
                kind = data[start + 9 : start + 10]
                if kind == b"C":
                    continue
                key, entry = lines.decode(data[start:end])
                if kind == b"I":
                    ledger.intend(entry["job_id"], key, entry["reserved"])
                else:
                    answered = kind == b"R"
                    cost = entry["cost" if answered else "billed"]
                    ledger.settle(entry["job_id"], key, cost, answered=answered)
        return ledger

    def _attach(self, segment: int) -> None:
        """Open a segment, creating it if it is new, and make it the one appended to."""
        fresh = not self._path(segment).exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._files[segment] = os.open(self._path(segment), flags, 0o600)
        if fresh:
            lines.sync_folder(self.folder)
        self._segment = segment
        self._size = os.fstat(self._files[segment]).st_size

    def _append(self, kind: bytes, key: str, entry: Mapping[str, object]) -> None:
        """Write one line with one system call and index it."""
        if self._refusal is not None:
            raise self._refusal
        line = lines.encode(kind, key, entry)
        try:
            if self._size and self._size + len(line) > SEGMENT_BYTES:
                os.fsync(self._files[self._segment])  # the group's next fsync sees the new segment only
                self._attach(self._segment + 1)
            self._write(line)
        except OSError as error:
            raise self._refuse(error) from error
        place = _pack(self._segment, self._size)
        self._size += len(line)
        self._note(memoryview(line)[:-1], key.encode(), place)

    def _write(self, line: bytes) -> None:
        descriptor = self._files[self._segment]
        if os.write(descriptor, line) < len(line):  # no room for all of it: take the part back
            os.ftruncate(descriptor, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _fsync(self) -> None:
        os.fsync(self._files[self._segment])

    async def _durable(self) -> None:
        try:
            await self._group.durable()
        except OSError as error:
            # The kernel may have dropped the pages: from here on nothing can be promised.
            self._refusal = self._refuse(error)
            raise self._refusal from error

    def _entry(self, place: int) -> dict[str, Any]:
        """Read one line back and parse it."""
        segment, offset = _unpack(place)
        descriptor = self._files.get(segment)
        if descriptor is None:
            raise StoreError(f"the journal {self.folder} is closed")
        line = b""
        while (end := line.find(b"\n")) < 0 and (more := os.pread(descriptor, 16_384, offset + len(line))):
            line += more
        if not lines.whole(line[:end]):
            raise StoreError(
                f"{self._path(segment)} changed on disk at byte {offset} while it was open;"
                " stop and start again: opening the journal repairs it"
            )
        return lines.decode(line[:end])[1]

    def _position(self, at: int) -> Position:
        if at < 0:
            return START
        return Position(*_unpack(self._ends[at]), self._crcs[at])

    def _refuse(self, error: OSError) -> StoreError:
        return StoreError(
            f"cannot use the journal {self.folder}: {error.strerror or error};"
            " free some space or make the folder writable, then run: rlaif resume JOB"
        )


def _raw(entry: Mapping[str, Any]) -> RawReply:
    return RawReply(entry["text"], entry["latency"], entry["headers"])


def _pack(segment: int, offset: int) -> int:
    """Segment and offset in one integer that sorts like the pair."""
    return segment << _OFFSET_BITS | offset


def _unpack(place: int) -> tuple[int, int]:
    return place >> _OFFSET_BITS, place & (1 << _OFFSET_BITS) - 1
