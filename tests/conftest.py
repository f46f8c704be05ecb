"""What holds for every test."""

from hypothesis import settings

# How long an example takes says how busy the machine is; tests that are about time measure it themselves.
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")
