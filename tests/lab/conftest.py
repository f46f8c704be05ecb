"""A seed of the moment for every test that must hold for any; it is in the name of what fails."""

import secrets

import pytest


@pytest.fixture
def seed() -> int:
    """Drawn now; printed where the test fails."""
    drawn = secrets.randbelow(2**31)
    print(f"seed {drawn}")
    return drawn
