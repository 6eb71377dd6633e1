"""Decides how long the link waits before it connects again, and recognises a second client with our id."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from shared.backoff import CAP_S, full_jitter_s

STEADY_S = 2.0
CALM_S = 4 * CAP_S
SHORT_LIFE_S = 1.5
SUSPICIOUS_LOSSES = 3


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a connection ended; ``taken_over`` if the broker said that another client has our id."""

    reason: str
    taken_over: bool = False


class Reconnects:
    """The history of one client's connections.

    Whoever is thrown out by a client of the same id waits for most of the cap: the younger may keep the line, and
    two boxes with one name do not fight for it. MQTT 5 brokers say that this was the reason; with MQTT 3.1.1 it
    shows as connections that are lost within seconds, again and again.

    Args:
        client_id: our id at the broker.
        uniform: draws a number between two.
    """

    def __init__(self, client_id: str, *, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._client_id = client_id
        self._uniform = uniform
        self._failures = 0
        self._short_lives = 0

    def after(self, ended: Ended, *, lived_s: float) -> tuple[str, float]:
        """The reason for people, and the seconds to wait, after a connection that was usable for so long."""
        self._failures = 1 if lived_s >= STEADY_S else self._failures + 1
        if lived_s == 0 or lived_s >= CALM_S:
            self._short_lives = 0  # a namesake never keeps us from connecting
        elif lived_s < SHORT_LIFE_S:
            self._short_lives += 1
        if ended.taken_over:
            return self._rival(f"another client has connected as {self._client_id!r} ({ended.reason})")
        if self._short_lives >= SUSPICIOUS_LOSSES:
            return self._rival(
                f"{ended.reason}; {self._short_lives} connections were lost within seconds, "
                f"probably to another client that connects as {self._client_id!r}"
            )
        return ended.reason, full_jitter_s(self._failures, uniform=self._uniform)

    def _rival(self, reason: str) -> tuple[str, float]:
        return f"{reason}: give each gateway its own name", self._uniform(CAP_S / 2, CAP_S)
