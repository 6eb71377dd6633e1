"""Names what a row says, so that nobody overwrites an edit that they have not seen."""

from collections.abc import Collection
from hashlib import blake2b

import msgspec

from aggregator.store.tables import Table
from shared.errors import SpoolwatchError


class ChangedError(SpoolwatchError):
    """What was to be edited is no longer as whoever edits it has seen it."""


def version_of(row: Table) -> str:
    """A digest of what a row says: the same for the same content, another after a change."""
    # Out of a JSON column come lists where tuples went in, of which the dump would warn.
    says = row.model_dump(mode="json", warnings=False)
    return blake2b(msgspec.json.encode(says), digest_size=8).hexdigest()


def check_version(row: Table, seen: Collection[str] | None) -> None:
    """Make sure that a row still is in a version that somebody has seen; None stands for any.

    Raises:
        ChangedError: it is not.
    """
    if seen is not None and version_of(row) not in seen:
        raise ChangedError("it was edited since you read it: read it again, and edit that")
