"""Planted keys and passwords turn up nowhere: not in replies, logs, the journal, the store, files or argv."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp

from rlaif.service.limits import STREAM
from rlaif.service.table import ROUTES
from tests.service.asked import Api, job
from tests.service.served import make_keys
from tests.upstream import INPUT_PRICE, OUTPUT_PRICE, Upstream, serving

CANARIES = {
    "OPENAI_API_KEY": "sk-canary0openai0000000000000000000000000000000",
    "ANTHROPIC_API_KEY": "sk-ant-canary1anthropic111111111111111111111111",
    "LAB_KEY": "canary2-lab-server-2222222222222222",
    "HF_TOKEN": "hf_canary3HuggingFace333333333333333",
    "HTTPS_PROXY": "canary4-proxy-password",
    "PGPASSWORD": "canary5-database-password",
    "AWS_SECRET_ACCESS_KEY": "canary6/aws+secret+666666666666666666666",
}
"""Value, or password within the value, by variable; the eighth is a key of the service's own."""

TOML = """
[compatible.lab]
base_url = "{url}/v1"
api_key_env = "LAB_KEY"
input_price = {input}
output_price = {output}
"""


async def test_canaries_turn_up_nowhere(tmp_path: Path) -> None:
    store, traces = tmp_path / "store", tmp_path / "traces"
    traces.mkdir()
    ours = await make_keys(store)
    async with serving(
        Upstream(fault_rate=0.3, kinds=("500", "429", "503"), wait="ms", echo=True)
    ) as upstream:
        toml = TOML.format(url=upstream.url, input=INPUT_PRICE * 1e6, output=OUTPUT_PRICE * 1e6)
        (tmp_path / "rlaif.toml").write_text(toml)
        process = await started(tmp_path, store, traces)
        try:
            assert process.stderr is not None
            line = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
            address = line.split(" at ")[1].split()[0]
            replies = await walked(store, address, ours["admin"])
            # What another user of the machine sees in a list of processes.
            argv = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        finally:
            process.send_signal(signal.SIGTERM)
        said = b"".join(await asyncio.wait_for(process.communicate(), 60))
        assert len(upstream.ledger) > 10
        assert all(one.authorised for one in upstream.ledger)  # the key did go where it belongs
        assert {"500", "429", "503"} & {one.outcome for one in upstream.ledger}
    kept = {
        str(path): path.read_bytes() for path in (*store.rglob("*"), *traces.rglob("*")) if path.is_file()
    }
    assert any("journal" in name for name in kept)
    for name, canary in {**CANARIES, "our own": ours["admin"]}.items():
        secret = canary.encode()
        assert secret not in said, name
        assert secret not in argv, name
        assert not [path for path, content in kept.items() if secret in content], name
        assert not [target for target, content in replies.items() if secret in content], name


async def started(folder: Path, store: Path, traces: Path) -> asyncio.subprocess.Process:
    planted = {**CANARIES, "HTTPS_PROXY": f"http://someone:{CANARIES['HTTPS_PROXY']}@127.0.0.1:9"}
    words = ("-m", "rlaif", "serve", "--store", str(store), "--port", "0", "--require-key")
    return await asyncio.create_subprocess_exec(
        sys.executable, *words,
        cwd=folder, env={**os.environ, **planted, "TMPDIR": str(traces), "RLAIF_HOME": str(folder / "home")},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def walked(store: Path, address: str, key: str) -> dict[str, bytes]:
    """Run a job whose calls fail and whose upstream repeats the key, then read every address there is."""
    found: dict[str, bytes] = {}
    async with aiohttp.ClientSession(address, headers={"Authorization": f"Bearer {key}"}) as session:
        service = Api(store, address, session)
        made = await service.post("/v1/jobs", job(8, "compatible:lab/m", budget=1.0))
        await service.until(made["id"], "completed", "failed", seconds=60)
        refused = [
            f"/v1/keys?key={key}",
            f"/nothing/{key}",
            "/v1/jobs?after=none",
            "/v1/providers?probe=true",
        ]
        targets = [
            re.sub(r"\{id\}", made["id"], one.path) for one in ROUTES if _readable(one.method, one.media)
        ]
        for target in (*(re.sub(r"\{\w+\}", "helpfulness", one) for one in targets), *refused):
            async with session.get(target) as reply:
                content = await reply.read()
                found[target] = content + repr(reply.raw_headers).encode()
                assert reply.status < 500, (target, content)
        form = {"key": key, "next": "/keys"}
        async with session.post("/login", data=form, allow_redirects=False) as reply:
            found["login"] = await reply.read() + repr(reply.raw_headers).encode()
            assert reply.status == 303
    return found


def _readable(method: str, media: str) -> bool:
    return method == "GET" and media != STREAM
