"""Reads what ``llama-bench`` prints."""

import json


def tokens_per_second(printed: str) -> float:
    """The speed of the one test in ``llama-bench``'s JSON.

    Raises:
        ValueError: it is something else than one test.
    """
    found = json.loads(printed[printed.index("[") :])
    (test,) = found
    return float(test["avg_ts"])
