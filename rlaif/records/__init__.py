"""The records everything else passes around: frozen, validated, identified by content.

Owns the shapes and their ids. Leaves storage to ``store``, wire formats to ``providers`` and
every decision about labels to ``judging``, ``ranking`` and ``preferences``.
"""

from rlaif.records.base import (
    MARGINS,
    Axis,
    Fact,
    JudgmentStatus,
    LabelType,
    Margin,
    MarginScale,
    Message,
    Record,
    RevisionStatus,
    Role,
    SamplingParams,
    Split,
    StopReason,
    Usage,
    Verdict,
    canonical,
    digest,
)  # fmt: skip
from rlaif.records.jobs import Document, Job, JobEvent, TaskState
from rlaif.records.judgments import Judgment, Ranking, Score
from rlaif.records.samples import Prompt, Revision, Sample, unpairable
from rlaif.records.service import AccessKey, HumanLabel, KeyEvent, KeyScope, Submission
from rlaif.records.sets import Completion, Flag, Preference, PreferenceSet, StoredScorecard

RECORDS: tuple[type[Fact], ...] = (
    Document, Job, Prompt, Sample, Judgment, Score, Ranking, Preference, Completion,
    PreferenceSet, Revision, Flag, StoredScorecard, TaskState, JobEvent,
    Submission, AccessKey, KeyEvent, HumanLabel,
)  # fmt: skip
"""Every record kind that is journalled and stored, in dependency order."""

__all__ = [
    "MARGINS", "RECORDS", "AccessKey", "Axis", "Completion", "Document", "Fact", "Flag", "HumanLabel",
    "Job", "JobEvent", "Judgment", "JudgmentStatus", "KeyEvent", "KeyScope", "LabelType", "Margin",
    "MarginScale", "Message", "Preference", "PreferenceSet", "Prompt", "Ranking", "Record", "Revision",
    "RevisionStatus", "Role", "Sample", "SamplingParams", "Score", "Split", "StopReason", "StoredScorecard",
    "Submission", "TaskState", "Usage", "Verdict", "canonical", "digest", "unpairable",
]  # fmt: skip
