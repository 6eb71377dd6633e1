"""How long to wait before trying again."""

import random
from collections.abc import Callable

CAP_S = 30.0


def full_jitter_s(
    attempt: int,
    *,
    first_s: float = 0.5,
    cap_s: float = CAP_S,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Seconds to wait before a retry: anywhere up to a bound that doubles with each attempt (from 1) up to a cap."""
    return uniform(0, min(cap_s, first_s * 2 ** min(attempt - 1, 16)))
