"""Who may call what: default deny.

Owns the decision before any handler runs: the key, or the session, or the loopback; the scope; the
request's origin. Leaves keys themselves to ``keys``, cookies to ``sessions`` and origins to ``origins``.

The rules, in their order:

1. A key in an address is refused wherever it leads, before anything else is looked at.
2. What another origin's page sends is refused, and so is a Host name that is not ours (on the loopback).
3. ``Authorization``, where it is sent, decides alone: it is one good key or the answer is 401.
4. A session's cookie stands for the key it was opened with.
5. Without either, only the loopback without ``--require-key`` may go on, with every right.
6. Without a key in the header, whatever changes something has to prove that a page of ours sent it, or
   that no page at all can have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from aiohttp import hdrs, web

from rlaif.errors import InputError
from rlaif.records import AccessKey
from rlaif.service.bodies import form_field
from rlaif.service.keys import FORM, Keyring
from rlaif.service.origins import Names, check_origin, from_program, is_loopback, proves_own
from rlaif.service.problems import Problem
from rlaif.service.routes import CALLER, Caller, Route, Scope
from rlaif.service.sessions import TOKEN_FIELD, TOKEN_HEADER, Session, Sessions, cookie_name
from rlaif.service.visitor import VISITOR, Visitor

RANK: Final[dict[Scope, int]] = {"open": 0, "read": 1, "run": 2, "admin": 3}
LONGEST: Final = 256
"""Characters of an ``Authorization`` header; a key's is 56."""
SCHEME: Final = "bearer "  # in any case (RFC 9110, 11.1)
_HOW: Final = "send a key made by `rlaif keys create` as 'Authorization: Bearer KEY'"
_CHALLENGE: Final[dict[str, str]] = {hdrs.WWW_AUTHENTICATE: 'Bearer realm="rlaif"'}


class Guard:
    """Admits callers to routes.

    Args:
        keyring: the keys there are.
        sessions: the logins there are.
        host: address listened on.
        allowed: Host names besides the loopback's.
        require_key: ask for a key on the loopback too.

    Raises:
        InputError: others than this machine could call, and there is no key yet.
    """

    def __init__(
        self,
        keyring: Keyring,
        sessions: Sessions,
        *,
        host: str = "127.0.0.1",
        allowed: Sequence[str] = (),
        require_key: bool = False,
    ) -> None:
        self._keyring = keyring
        self._sessions = sessions
        self._near = is_loopback(host)
        self._free = self._near and not require_key
        self._names = Names(tuple(allowed))
        if not self._near and not keyring.any_good():
            raise InputError(
                f"{host!r} can be reached from other machines and there is no key yet, so everyone could"
                " spend your money; run: rlaif keys create --scope admin --store DIR, or listen on 127.0.0.1"
            )

    async def admit(self, request: web.Request, route: Route) -> Caller:
        """Return who calls.

        Raises:
            Problem: 401 without a good key, 403 where the key's scope or the request's origin forbids it.
        """
        check_origin(request, page=route.page)
        bearer = hdrs.AUTHORIZATION in request.headers
        session = None if bearer else self._session(request)
        if not bearer and (self._near or self._names.allowed):
            self._names.check(request)
        request[CALLER] = caller = await self._caller(request, route, session)
        VISITOR.set(Visitor(self._sessions.token(session), "" if session is None else caller.name))
        if RANK[caller.scope] < RANK[route.scope]:
            raise Problem(
                403,
                f"the key {caller.name!r} has scope {caller.scope!r} and this needs {route.scope!r};"
                " use another key or ask its administrator",
            )
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD) and not bearer:
            await self._check_own(request, route, session)
        return caller

    async def _caller(self, request: web.Request, route: Route, session: Session | None) -> Caller:
        if hdrs.AUTHORIZATION in request.headers:
            return await self._holder(self._presented(request))
        if session is not None and (record := self._keyring.get(session.key_id)) is not None:
            return await self._holder(record)
        if self._free:
            return Caller("local", "admin")
        if route.scope == "open":
            return Caller("nobody", "open")
        raise Problem(401, f"this needs a key; {_HOW}", headers=_CHALLENGE)

    def _session(self, request: web.Request) -> Session | None:
        """The session of a request of our own pages; a cookie that a foreign link brought is none."""
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return None
        cookie = request.cookies.get(cookie_name(request))
        found = None if cookie is None else self._sessions.find(cookie)
        record = None if found is None else self._keyring.get(found.key_id)
        return None if record is None or self._keyring.fault(record) else found

    def _presented(self, request: web.Request) -> AccessKey:
        """The record of the key in the header."""
        given = request.headers.getall(hdrs.AUTHORIZATION)
        if len(given) != 1:
            raise _unknown(f"found {len(given)} Authorization headers, and one is allowed")
        value = given[0]
        if len(value) > LONGEST:
            raise _unknown(f"the Authorization header has {len(value):,} characters; a key has 49")
        if value[: len(SCHEME)].lower() != SCHEME:
            raise _unknown("the Authorization header does not begin with 'Bearer '")
        key = value[len(SCHEME) :]
        if (record := known_key(self._keyring, key)) is not None:
            request[CALLER] = Caller(record.name, record.scope, record.id)
        return good_key(self._keyring, key)

    async def _holder(self, record: AccessKey) -> Caller:
        await self._keyring.use(record)
        return Caller(record.name, record.scope, record.id)

    async def _check_own(self, request: web.Request, route: Route, session: Session | None) -> None:
        """Refuse a change that another site's page may have sent with our reader's cookie or machine."""
        if proves_own(request):  # check_origin let none but our own pass
            return
        token = request.headers.get(TOKEN_HEADER) or await form_field(request, TOKEN_FIELD, route.upload)
        if token and self._sessions.proves(token, session):
            return
        if session is None and from_program(request):
            return
        raise Problem(
            403,
            "nothing shows that a page of this service sent this: send an Origin header of its own, the"
            f" page's token as {TOKEN_HEADER}, or a key as 'Authorization: Bearer KEY'",
        )


def good_key(keyring: Keyring, key: str) -> AccessKey:
    """Return the record of a key that is good now.

    Raises:
        Problem: 401 for any other.
    """
    record = known_key(keyring, key)
    if record is None:
        raise _unknown("the key is not one of this service's")
    if fault := keyring.fault(record):
        raise _unknown(fault)
    return record


def known_key(keyring: Keyring, key: str) -> AccessKey | None:
    """The record of a key that was given out, good or not; None for any other text."""
    return keyring.match(key) if FORM.fullmatch(key) else None


def refuse_key_in_address(request: web.Request) -> None:
    """Refuse an address with a key in it, whether or not it leads anywhere.

    Raises:
        Problem: 401.
    """
    if FORM.search(unquote(request.raw_path)):
        raise _unknown("there is a key in the address, which is kept in logs and histories: revoke it")


def _unknown(found: str) -> Problem:
    return Problem(401, f"{found}; {_HOW}", headers=_CHALLENGE)
