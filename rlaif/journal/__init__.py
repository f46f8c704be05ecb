"""The append-only record of everything paid for and everything concluded from it.

Owns the files under ``journal/``: `lines` their format and the repair of damage, `ledger` the sums of
money, `durability` the group commit, `journal` the folder as a whole. Leaves to ``providers.client``
when to write a call, and to ``store`` the tables projected from the commits.
"""

from rlaif.journal.journal import START, Call, Fault, Journal, Position
from rlaif.journal.ledger import Spend
from rlaif.journal.lines import Repair

__all__ = ["START", "Call", "Fault", "Journal", "Position", "Repair", "Spend"]
