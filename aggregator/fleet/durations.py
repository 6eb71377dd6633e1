"""How long something took or is ago, in the words a person would use."""

_STEPS = ((120, 1, "s"), (2 * 3600, 60, "min"), (48 * 3600, 3600, "h"))


def in_words(seconds: float) -> str:
    """Say a duration in its largest fitting unit, rounded down; below zero counts as zero.

    >>> in_words(95.7), in_words(150), in_words(3 * 3600), in_words(72 * 3600)
    ('95 s', '2 min', '3 h', '3 d')
    """
    whole = max(0, int(seconds))
    for below, unit_s, unit in _STEPS:
        if whole < below:
            return f"{whole // unit_s} {unit}"
    return f"{whole // 86400} d"
