"""Whole jobs and their money: the cap holds to the pico-dollar, and the ledger and the bill agree."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.harness import Site, Snapshot, audit, until
from tests.upstream import BILLED, Upstream, serving

RUN = ("run", "pipeline.yaml", "--json")


def exact(amount: float) -> object:
    """Equal to a billionth of a dollar."""
    return pytest.approx(amount, abs=1e-9, rel=0)


@pytest.mark.parametrize("cap", ["0.0005", "0.01", "0.06"])
async def test_a_cap_holds_with_256_calls_in_flight(tmp_path: Path, cap: str) -> None:
    """Below one call's worst case, in the samples, in the judgments."""
    async with serving(Upstream(latency=0.02)) as up:
        site = Site(tmp_path, prompts=60, in_flight=256).write(up.url)
        stopped = await site.run(*RUN, "--budget", cap)
        assert stopped.code == 3, stopped.err
        assert up.spent <= float(cap)
        assert Snapshot.take(site, up).paid == exact(up.spent)
        assert "rlaif resume small-" in stopped.sentence
        assert stopped.sentence.endswith("--budget USD")
        bought = len(up.ledger)
        assert (bought > 0) == (cap != "0.0005")
        # Nothing fits any more, so what is left is less than one call's worst case.
        assert float(cap) - up.spent < 0.003
        job = stopped.sentence.partition("rlaif resume ")[2].split()[0]
        done = await site.run("resume", job, "--budget", "5", "--json")
        assert done.code == 0, done.err
        assert done.json["calls"] == site.calls - bought == len(up.ledger) - bought
    assert done.json["spent"] == exact(up.spent)
    audit(site, up, [])


async def test_a_cap_holds_over_kills(tmp_path: Path) -> None:
    """What was in flight at a kill counts at its worst, so the cap holds over all runs together."""
    cap = 0.03
    async with serving(Upstream(latency=0.05)) as up:
        site = Site(tmp_path, prompts=40, in_flight=16).write(up.url)
        for goal in (40, 90, 140):
            process = await site.start(*RUN, "--budget", str(cap))
            await until(lambda goal=goal: len(up.ledger) >= goal, process)
            if process.returncode is None:
                process.kill()
            await process.wait()
            assert up.spent <= cap
        stopped = await site.run(*RUN, "--budget", str(cap))
        assert stopped.code == 3, stopped.err
        assert up.spent <= cap


async def test_the_bill_is_the_ledger_and_a_second_run_is_free(tmp_path: Path) -> None:
    async with serving(Upstream()) as up:
        site = Site(tmp_path).write(up.url)
        quoted = await site.run("run", "pipeline.yaml", "--dry-run", "--json")
        assert quoted.code == 0, quoted.err
        assert up.ledger == []
        assert not site.work.exists()
        first = await site.finish()
        assert quoted.json["calls"] == first.json["calls"] == len(up.ledger) == site.calls
        assert first.json["spent"] == exact(up.spent)
        assert up.spent <= sum(line["usd"] for line in quoted.json["lines"])
        again = await site.finish()
        assert len(up.ledger) == site.calls
    assert again.json["calls"] == 0
    assert again.json["spent"] == first.json["spent"]


async def test_what_may_have_been_billed_is_told_apart(tmp_path: Path) -> None:
    """Replies that never came or could not be read: the upstream charged, and nobody can know how much."""
    kinds = ("read_timeout", "reset_mid_body", "truncated_json", "wrong_schema")
    upstream = Upstream(latency=0.005, fault_rate=0.1, kinds=kinds, hang=1.5, seed=4)
    async with serving(upstream) as up:
        site = Site(tmp_path, prompts=12, in_flight=32, timeout=1.0).write(up.url)
        done = await site.finish()
    taken = Snapshot.take(site, up)
    charged = {
        outcome: sum(one.price for one in up.ledger if one.outcome == outcome) for outcome in ("ok", *BILLED)
    }
    lost = sum(charged.values()) - charged["ok"]
    assert lost > 0
    assert taken.paid == exact(charged["ok"])
    assert taken.billed >= lost
    assert done.json["spent"] == exact(taken.paid + taken.billed)
    assert max(one.attempt for one in up.ledger) <= site.attempts


async def test_without_a_price_nothing_is_sent(tmp_path: Path) -> None:
    async with serving(Upstream()) as up:
        site = Site(tmp_path).write(up.url)
        settings = tmp_path / "rlaif.toml"
        text = settings.read_text().splitlines()
        settings.write_text("\n".join(line for line in text if "price" not in line))
        done = await site.run("run", "pipeline.yaml", "--yes")
        assert done.code == 2
        assert "no price is known for 'compatible:lab/m'" in done.sentence
        assert "--allow-unpriced" in done.sentence
        assert not site.work.exists()
        allowed = await replace(site).run("run", "pipeline.yaml", "--yes", "--allow-unpriced", "--json")
    assert allowed.code == 0
    assert len(up.ledger) == site.calls


async def test_nobody_is_asked_to_spend_in_a_script(tmp_path: Path) -> None:
    async with serving(Upstream()) as up:
        site = Site(tmp_path).write(up.url)
        done = await site.run("run", "pipeline.yaml")
    assert done.code == 2
    assert "--yes" in done.sentence
    assert f"{site.calls:,} calls" in done.sentence
    assert up.ledger == []
