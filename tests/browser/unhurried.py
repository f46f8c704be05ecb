"""The command with mock models that take as long as models do: there is time to watch a job."""

import asyncio
from collections.abc import Mapping

from pydantic import JsonValue

from rlaif.cli import main
from rlaif.providers.base import RawReply
from rlaif.providers.mock import Mock

SECONDS = 0.5

_at_once = Mock.send


async def after_a_while(self: Mock, body: Mapping[str, JsonValue]) -> RawReply:
    """Send as ever, after ``SECONDS``; takes the place of ``Mock.send``."""
    await asyncio.sleep(SECONDS)
    return await _at_once(self, body)


if __name__ == "__main__":
    Mock.send = after_a_while  # type: ignore[method-assign]
    main()
