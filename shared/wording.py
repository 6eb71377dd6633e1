"""How a remaining useful life reads where there is room for a few words only."""

from math import floor


def rul_text(q05: float, q50: float, q95: float, cap: float) -> str:
    """The median and its interval in cycles; what is at the model's cap reads "at least".

    >>> rul_text(61.2, 87.4, 118.0, 125)
    '87 (61–118)'
    >>> rul_text(103, 121, 131, 125), rul_text(125, 126, 128, 125)
    ('121 (103 to ≥ 125)', '≥ 125')
    """
    low, median, high = (_at_least(cycles, cap) for cycles in (q05, q50, q95))
    if q05 >= cap:
        return median
    dash = " to " if q95 >= cap else "–"
    return f"{median} ({low}{dash}{high})"


def _at_least(cycles: float, cap: float) -> str:
    # Rounded down as on the pages, so that numbers agree with the health bands.
    return f"≥ {floor(cap)}" if cycles >= cap else str(floor(max(0.0, cycles)))
