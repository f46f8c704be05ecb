"""What people see of the pairs judges decided, and what they say about them.

Owns the filter and pages of a browser over any number of pairs, people's labels, the exchange of both with
Argilla and Label Studio, and how well a judge agrees with people. ``choice`` and ``pages`` find pairs,
``pairs`` shows one whole, ``labels`` keeps what a person says, ``agreement`` turns that into a scorecard,
``argilla`` and ``label_studio`` speak others' shapes. Leaves statistics to ``audits``, pages to ``service``.
"""

from rlaif.review.agreement import Agreement, agree, measure
from rlaif.review.choice import Choice
from rlaif.review.labels import Label, keep, new_label, standing
from rlaif.review.pages import Entry, Page, beside, page
from rlaif.review.pairs import Pair, pair

__all__ = [
    "Agreement",
    "Choice",
    "Entry",
    "Label",
    "Page",
    "Pair",
    "agree",
    "beside",
    "keep",
    "measure",
    "new_label",
    "page",
    "pair",
    "standing",
]
