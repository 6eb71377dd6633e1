"""The one way to play engines: centre up, agents up, rows out, outboxes empty, everything down, count."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console

from simulators.agents import dropped, gateway_of, start_agent
from simulators.centre import Api, Centre, CentreAddress, start_centre
from simulators.count import Count, compare, read_store
from simulators.emitter import Emitter
from simulators.engines import PlayedEngine
from simulators.folder import PlayFolder
from simulators.programs import Programs
from simulators.signals import StopWish, stop_wish
from simulators.table import LiveView
from simulators.truth import read_truth

READY_TIMEOUT_S = 60.0
DRAIN_TIMEOUT_S = 30.0
STOP_S = 20.0
HURRIED_STOP_S = 2.0
TICK_S = 0.1
TICKS_PER_COUNT = 5


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """How to play.

    Attributes:
        folder: where everything about the play is kept.
        site: the site of the gateways.
        cycles_per_s: how fast the engines run.
        seconds: when to stop by itself; None: never.
        lasting: whether to stay, for the sake of the page, when no engine has any more rows.
        centre: a running centre to use; None starts one.
    """

    folder: PlayFolder
    site: str
    cycles_per_s: float
    seconds: float | None
    lasting: bool
    centre: CentreAddress | None

    @property
    def api(self) -> Api | None:
        """The API to count at; None counts in the folder."""
        return self.centre.api if self.centre else None


def play(engines: Sequence[PlayedEngine], options: PlayOptions, console: Console) -> Count:
    """Play engines until they end, the time is over or somebody stops it; returns the count.

    Raises:
        SpoolwatchError: something could not be started or ended by itself; all else has been ended by then.
    """
    folder = options.folder
    with stop_wish() as wish, folder.claimed(), ExitStack() as running:
        own_centre = running.enter_context(Programs(folder.logs))
        agents = running.enter_context(Programs(folder.logs))
        address = options.centre or start_centre(own_centre, folder.aggregator)
        centre = running.enter_context(Centre(address.api))
        centre.wait_ready(READY_TIMEOUT_S, own_centre.check, wish.check)
        if options.centre is None:
            admin = centre.add_admin(options.site)
            console.print(
                f"{address.api.url}: log in as {admin.name} with the password {admin.password}", highlight=False
            )
        serials = {engine.serial for engine in engines}
        files = [(engine, folder.rows(gateway_of(engine))) for engine in engines]
        emitter = running.enter_context(Emitter(files, folder.truth, lambda: datetime.now(UTC)))
        emitter.emit(0)
        for engine in engines:
            centre.register(engine.serial, options.site, gateway_of(engine))
            start_agent(agents, folder, options.site, engine, address)
        view = running.enter_context(LiveView(emitter.loggers, lambda: centre.views(serials), address.api.url, console))

        def tick(phase: str) -> None:
            own_centre.check()
            agents.check()
            view.show(phase)
            time.sleep(TICK_S)

        _live(emitter, options, wish, tick)
        _drain(lambda: recount(folder, options.api), wish, tick)
        view.show("stopping", at_once=True)
        patience_s = HURRIED_STOP_S if wish.at_once else STOP_S
        for program in agents.stop(patience_s) + own_centre.stop(patience_s):
            console.print(f"{program.name} did not end cleanly; see {program.log}")
    return recount(folder, options.api)


def recount(folder: PlayFolder, api: Api | None) -> Count:
    """Count the truth in a folder against a running centre's store, or against the store in the folder."""
    emitted = read_truth(folder.truth)
    if api is None:
        stored = read_store(folder.store)
    else:
        with Centre(api) as centre:
            stored = centre.stored({row.engine for row in emitted})
    return compare(emitted, stored, dropped(folder))


def _live(emitter: Emitter, options: PlayOptions, wish: StopWish, tick: Callable[[str], None]) -> None:
    started = time.monotonic()
    elapsed_s = 0.0
    while not (wish.wanted or _over(emitter, options, elapsed_s)):
        tick("every engine has ended, Ctrl-C stops" if emitter.ended else "running, Ctrl-C stops")
        elapsed_s = time.monotonic() - started
        emitter.emit(int(elapsed_s * options.cycles_per_s))


def _over(emitter: Emitter, options: PlayOptions, elapsed_s: float) -> bool:
    if options.seconds is not None and elapsed_s >= options.seconds:
        return True
    return emitter.ended and not options.lasting


def _drain(count: Callable[[], Count], wish: StopWish, tick: Callable[[str], None]) -> None:
    """Wait until the store holds all that was emitted, as long as it still comes closer."""
    fewest: int | None = None
    deadline = 0.0
    while not wish.at_once and (lost := count().lost):
        if fewest is None or lost < fewest:
            fewest, deadline = lost, time.monotonic() + DRAIN_TIMEOUT_S
        if time.monotonic() > deadline:
            return
        for _ in range(TICKS_PER_COUNT):
            tick(f"{lost} records on their way, Ctrl-C gives them up")
