"""What the centre says of the engines that hang at a gateway: since when, how old they are, and how they began.

One retained, signed message per gateway; see "Engines, as the centre knows them" in docs/protocol.md.
"""

from typing import Annotated

from msgspec import Meta, Struct

from shared.messages import CYCLE_MAX, VERSION, Cycle, Name, Serial, Utc

SEED_FIRST_ROWS = 20
SEED_LAST_ROWS = 100  # as many as the window of the features holds

Count = Annotated[int, Meta(ge=0, le=CYCLE_MAX)]


class _Desired(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable, fields by name, nothing unknown let through."""


class Seed(_Desired, frozen=True, kw_only=True):
    """Rows of an engine from before it came here, since it was new or last overhauled: the first and the last ones.

    Each has its cycle, counted on through all installations so that it only grows, and a value (or null) for each
    of ``channels``.
    """

    channels: list[Name]
    rows: Annotated[
        list[tuple[Cycle, list[float | None]]], Meta(min_length=1, max_length=SEED_FIRST_ROWS + SEED_LAST_ROWS)
    ]


class DesiredEngine(_Desired, frozen=True, kw_only=True):
    """One engine at one position.

    ``installation_cycle`` is the engine's age in cycles when its source's counter stood at ``counted_from``, null
    where nobody knows. An overhaul (a new ``maintenance_epoch``) in this installation counts from the cycle it came
    after, at age 0; rows up to there are of the epoch before.
    """

    serial: Serial
    position: Name
    installation_id: Name
    installed_from: Utc
    installation_cycle: Count | None = None
    counted_from: Count = 0
    maintenance_epoch: Count = 0
    seed: Seed | None = None

    @property
    def base_cycles(self) -> int:
        """What the source's counter lacks to count on from the engine's history; its age, where that is known.

        >>> from datetime import UTC, datetime
        >>> place = {"serial": "E", "position": "1", "installation_id": "i", "installed_from": datetime.now(UTC)}
        >>> DesiredEngine(**place, installation_cycle=412).base_cycles
        412
        >>> DesiredEngine(**place, installation_cycle=0, counted_from=205, maintenance_epoch=1).base_cycles
        -205
        >>> DesiredEngine(**place, seed=Seed(channels=["T24"], rows=[(7, [641.0])])).base_cycles
        7
        """
        if self.installation_cycle is not None:
            return self.installation_cycle - self.counted_from
        return (0 if self.seed is None else self.seed.rows[-1][0]) - self.counted_from


class EngineDesired(_Desired, frozen=True, kw_only=True):
    """Every engine that hangs at one gateway; of two such messages the one with the higher ``ordinal`` holds."""

    site: Name
    gateway: Name
    ordinal: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    engines: list[DesiredEngine]


class SignedEngineDesired(_Desired, frozen=True, kw_only=True):
    """An encoded ``EngineDesired`` with the Ed25519 signature (RFC 8032) of its bytes by the centre's key; retained."""

    v: int = VERSION
    desired: bytes
    signature: bytes
