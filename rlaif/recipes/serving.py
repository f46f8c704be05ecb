"""Settings of a recipe's calls: those of the folder, and the world's judge while it listens.

Owns the name that judge is asked by. Leaves what it says to ``lab.gold_judge``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from rlaif.lab.gold_judge import GoldJudge, listening
from rlaif.lab.worlds import World
from rlaif.recipes.config import Recipe
from rlaif.settings import Server, Settings


@asynccontextmanager
async def beside(recipe: Recipe, world: World | None) -> AsyncIterator[Settings]:
    """Serve the world's judge until the end of the block, where there is a world.

    Args:
        recipe: says what the judge is like.
        world: holds the truth; None for no judge.

    Yields:
        Settings that know where it is asked.
    """
    settings = Settings.load()
    if recipe.world is None or world is None:
        yield settings
        return
    tempers = {"world": recipe.world.judge, "world_second": recipe.world.second}
    async with AsyncExitStack() as stack:
        for at, (name, temper) in enumerate(tempers.items()):
            if temper is not None:
                judge = GoldJudge(world, temper, recipe.seed + at)
                settings = with_world(settings, await stack.enter_async_context(listening(judge)), name)
        yield settings


def with_world(settings: Settings, address: str, name: str = "world") -> Settings:
    """Return settings that know where a judge of the world is asked."""
    server = Server(base_url=address, input_price=0.0, output_price=0.0)
    return settings.model_copy(update={"compatible": {**settings.compatible, name: server}})
