"""Decides how dangerous a command is, from its parsed form and a table of rules.

The model has no part in it, and what is not understood counts as dangerous.
"""

from llmos_shell.policy.risk import Risk
from llmos_shell.policy.verdict import Context, Part, Policy, Verdict

__all__ = ["Context", "Part", "Policy", "Risk", "Verdict"]
