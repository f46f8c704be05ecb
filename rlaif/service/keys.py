"""Keys of the service: made once, shown once, kept as a hash.

Owns what a key looks like, which are good now, and their life in the journal. Leaves what a key may do to
``access`` and its pages to ``web.keys``.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Final

from rlaif.errors import InputError
from rlaif.records import AccessKey, KeyEvent, KeyScope, Record
from rlaif.store import Workspace

PREFIX: Final = "rlaif_"
SHOWN: Final = len(PREFIX) + 6
"""Characters of a key that its record keeps: enough to tell keys apart, far too few to guess the rest."""
FORM: Final = re.compile(r"rlaif_[A-Za-z0-9_-]{43}")
"""32 random bytes in URL-safe base64 after the prefix, which secret scanners can look for."""
JOB: Final = "keys"
"""What the journal calls the work that keys belong to."""

Clock = Callable[[], datetime]


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


class KeyView(Record):
    """A key as its administrator sees it; the key itself is not known any more."""

    id: str
    """Names it, e.g. to revoke it."""
    name: str
    """For people."""
    prefix: str
    """Its first characters."""
    scope: KeyScope
    """Most its holder may do; ``admin`` holds ``run``, and ``run`` holds ``read``."""
    created_at: str
    """UTC time, ISO 8601."""
    expires_at: str | None = None
    """UTC time from which it is refused; null for never."""
    revoked_at: str | None = None
    """UTC time it was revoked; null while it is good."""
    last_used_on: str | None = None
    """UTC day of its last use; null before the first."""
    good: bool
    """Whether it opens anything now."""


class Keyring:
    """The keys of one folder; used from one event loop.

    Everything is held in memory, where a caller's key is looked for, and every change is journalled first.
    """

    def __init__(self, workspace: Workspace, clock: Clock = now) -> None:
        """Read the keys there are."""
        self._workspace = workspace
        self._clock = clock
        self._keys = {one.id: one for one in workspace.store.read(AccessKey, order="rowid")}
        self._revoked: dict[str, str] = {}
        self._used: dict[str, str] = {}
        for event in workspace.store.read(KeyEvent, order="rowid"):
            self._remember(event)

    async def create(self, name: str, scope: KeyScope, days: float | None = None) -> tuple[str, KeyView]:
        """Make a key.

        Args:
            name: for people; need not be new.
            scope: most its holder may do.
            days: time until it expires; None for never.

        Returns:
            The key, which is known only now, and how it stands.
        """
        key = PREFIX + secrets.token_urlsafe(32)
        made = self._clock()
        record = AccessKey.make(
            name=name,
            prefix=key[:SHOWN],
            hash=_hash(key),
            scope=scope,
            created_at=_written(made),
            expires_at=None if days is None else _written(made + timedelta(days=days)),
        )
        await self._workspace.commit([record], job_id=JOB)
        self._keys[record.id] = record
        return key, self.view(record)

    async def revoke(self, key_id: str) -> KeyView:
        """Refuse a key from now on; revoking it again changes nothing.

        Raises:
            InputError: no key has this id.
        """
        record = self._keys.get(key_id)
        if record is None:
            known = ", ".join(self._keys) or "none"
            raise InputError(f"there is no key {key_id!r}; ids of keys: {known}")
        if key_id not in self._revoked:
            event = KeyEvent.make(key_id=key_id, what="revoked", at=_written(self._clock()))
            self._remember(event)  # before the journal: no request may pass while the disk is waited for
            await self._workspace.commit([event], job_id=JOB)
        return self.view(record)

    async def use(self, record: AccessKey) -> None:
        """Note the first use of a day."""
        today = self._clock().date().isoformat()
        if self._used.get(record.id) != today:
            event = KeyEvent.make(key_id=record.id, what="used", at=today)
            self._remember(event)
            await self._workspace.commit([event], job_id=JOB)

    def match(self, key: str) -> AccessKey | None:
        """The record of a key, good or not; None for a key that was never made here."""
        wanted, found = _hash(key), None
        for record in self._keys.values():  # all of them: the time taken says nothing about which
            if compare_digest(record.hash, wanted):
                found = record
        return found

    def get(self, key_id: str) -> AccessKey | None:
        """The record with this id."""
        return self._keys.get(key_id)

    def fault(self, record: AccessKey) -> str:
        """Why a key opens nothing now; empty for a good one."""
        if record.id in self._revoked:
            return f"the key {record.name!r} was revoked"
        if record.expires_at is not None and self._clock() >= datetime.fromisoformat(record.expires_at):
            return f"the key {record.name!r} expired at {record.expires_at}"
        return ""

    def any_good(self) -> bool:
        """Whether anybody could show a key that opens something."""
        return any(not self.fault(one) for one in self._keys.values())

    def views(self) -> tuple[KeyView, ...]:
        """All keys, the oldest first."""
        return tuple(map(self.view, self._keys.values()))

    def view(self, record: AccessKey) -> KeyView:
        """How a key stands."""
        kept = record.model_dump(exclude={"hash"})
        return KeyView(
            **kept,
            revoked_at=self._revoked.get(record.id),
            last_used_on=self._used.get(record.id),
            good=not self.fault(record),
        )

    def _remember(self, event: KeyEvent) -> None:
        if event.what == "revoked":
            self._revoked.setdefault(event.key_id, event.at)
        else:
            self._used[event.key_id] = max(event.at, self._used.get(event.key_id, ""))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
