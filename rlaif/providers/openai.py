"""OpenAI's chat completions through its own SDK.

Owns the choice of dialect and the client's construction. Leaves the wire format to ``chat_format``
and the transport to ``sdk``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from rlaif.providers import chat_format
from rlaif.providers.base import RawReply, Reply, Request
from rlaif.providers.sdk import TIMEOUT_SECONDS, Line, http_client

# Reasoning models refuse ``max_tokens`` and a temperature or top_p that is spelt out.
_DIALECT = chat_format.Dialect(limit="max_completion_tokens", explicit=False, prefix=False)


class OpenAI:
    """``openai:MODEL``.

    Args:
        base_url: where the API is, e.g. ``https://api.openai.com/v1``.
        key: the API key.
        timeout: seconds one attempt may take.
    """

    name = "openai"

    def __init__(self, base_url: str, key: str, timeout: float = TIMEOUT_SECONDS) -> None:
        import openai

        client = openai.AsyncOpenAI(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            http_client=http_client(openai.DefaultAioHttpClient, base_url),
        )
        failures = (openai.APIStatusError, openai.OpenAIError)
        self._line = Line(client, "/chat/completions", failures, base_url=base_url, key=key, timeout=timeout)

    def body(self, request: Request) -> dict[str, JsonValue]:
        """Translate to a chat-completions body.

        Raises:
            InputError: the request ends in an assistant message, which this API does not continue.
        """
        return chat_format.body(request, request.model, _DIALECT)

    async def send(self, body: Mapping[str, JsonValue]) -> RawReply:
        """Make one attempt.

        Raises:
            CallError: classified by ``faults``.
        """
        return await self._line.send(body)

    def read(self, request: Request, raw: RawReply) -> Reply:
        """Read a chat completion.

        Raises:
            CallError: the text is none.
        """
        return chat_format.read(request, raw, self._line.who)

    async def close(self) -> None:
        """Release connections."""
        await self._line.close()
