"""A seed of the moment for every test: what holds of a method holds for any."""

import secrets

import pytest


@pytest.fixture
def seed() -> int:
    """Drawn now; printed where the test fails."""
    drawn = secrets.randbelow(2**31)
    print(f"seed {drawn}")
    return drawn
