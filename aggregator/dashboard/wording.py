"""How things read on the pages; numbers are whole cycles, rounded down so that they agree with the health bands."""

from math import floor

from aggregator.fleet.rul import Rul
from aggregator.fleet.summary import Average


def cycles(value: float, *, at_cap: bool, cap: float) -> str:
    """A number of cycles, or, at the model's cap, that it is at least the cap.

    >>> cycles(87.9, at_cap=False, cap=125), cycles(127.2, at_cap=True, cap=125)
    ('87', '≥ 125')
    """
    return f"≥ {floor(cap)}" if at_cap else str(floor(value))


def median(rul: Rul) -> str:
    """The median of a distribution.

    >>> median(Rul(mean=86, q05=61, q50=87.9, q95=118, cap=125))
    '87'
    """
    return _value(rul, rul.q50)


def interval(rul: Rul) -> str:
    """The 90 % interval of a distribution; nothing where all of it is at the cap and the median says so.

    >>> interval(Rul(mean=86, q05=61, q50=87.9, q95=118, cap=125))
    '(61–118)'
    >>> interval(Rul(mean=120, q05=98, q50=122, q95=131, cap=125))
    '(98 to ≥ 125)'
    >>> interval(Rul(mean=2, q05=-5, q50=2, q95=7, cap=125))
    '(0–7)'
    """
    if rul.at_cap(rul.q05):
        return ""
    dash = " to " if rul.at_cap(rul.q95) else "–"
    return f"({_value(rul, rul.q05)}{dash}{_value(rul, rul.q95)})"


def average(value: Average | None) -> str:
    """An average over the fleet, or a dash.

    >>> average(Average(113.4, at_cap=True)), average(None)
    ('≥ 113', '–')
    """
    return "–" if value is None else f"{'≥ ' if value.at_cap else ''}{floor(value.cycles)}"


def register_command(serial: str, store_flag: str) -> str:
    """The command that registers an engine in the store that these pages show; without a flag, in the usual one.

    >>> register_command("E-1", "--data-dir /srv/centre")
    'spoolwatch-aggregator engine add E-1 --site SITE --gateway GATEWAY --position POSITION --data-dir /srv/centre'
    """
    command = f"spoolwatch-aggregator engine add {serial} --site SITE --gateway GATEWAY --position POSITION"
    return f"{command} {store_flag}".rstrip()


def _value(rul: Rul, value: float) -> str:
    return cycles(rul.clipped(value), at_cap=rul.at_cap(value), cap=rul.cap)
