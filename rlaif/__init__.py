"""Preference data from written constitutions and AI judges, and the training that uses it."""

__version__ = "0.1.0"
