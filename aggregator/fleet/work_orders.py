"""The life cycle of a work order, and what its outcome says of the engine."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.errors import SpoolwatchError


class State(StrEnum):
    """How far the work has come; the last two are final."""

    OPEN = "open"
    PLANNED = "planned"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


class Step(StrEnum):
    """What somebody does about a work order, in the words of its history."""

    EDITED = "edited"
    LINKED = "linked"
    STARTED = "started"
    DONE = "done"
    CANCELLED = "cancelled"
    CORRECTED = "corrected"
    COMMENTED = "commented"


class Outcome(StrEnum):
    """What the work has shown; the first three end a life of the engine."""

    FAILED = "failed"
    REPLACED = "replaced"
    OVERHAULED = "overhauled"
    NO_FAULT_FOUND = "no_fault_found"


class Remedy(StrEnum):
    """What was done to an engine that had failed."""

    REPLACED = "replaced"
    OVERHAULED = "overhauled"


class StepError(SpoolwatchError):
    """A work order in this state does not take this step."""


UNFINISHED = frozenset({State.OPEN, State.PLANNED, State.IN_PROGRESS})
_TAKEN_IN: dict[Step, frozenset[State]] = {
    Step.EDITED: UNFINISHED,
    Step.LINKED: UNFINISHED,
    Step.STARTED: frozenset({State.OPEN, State.PLANNED}),
    Step.DONE: UNFINISHED,
    Step.CANCELLED: UNFINISHED,
    Step.CORRECTED: frozenset({State.DONE}),
    Step.COMMENTED: frozenset(State),
}
_LEADS_TO = {Step.STARTED: State.IN_PROGRESS, Step.DONE: State.DONE, Step.CANCELLED: State.CANCELLED}


def after(state: State, step: Step, *, is_planned: bool) -> State:
    """The state of a work order after a step; ``is_planned`` says whether it has a date by then.

    Raises:
        StepError: it does not take this step.

    >>> after(State.OPEN, Step.EDITED, is_planned=True).value
    'planned'
    >>> after(State.IN_PROGRESS, Step.EDITED, is_planned=True).value
    'in_progress'
    """
    if state not in _TAKEN_IN[step]:
        taken = " or ".join(each for each in State if each in _TAKEN_IN[step])
        raise StepError(f"it is {state}, and can be {step} only while it is {taken}")
    if state in (State.OPEN, State.PLANNED) and step is Step.EDITED:
        return State.PLANNED if is_planned else State.OPEN
    return _LEADS_TO.get(step, state)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The outcome of a work order.

    Attributes:
        at: when the engine failed, was removed, overhauled, or found without a fault.
        cycle: the source's cycle after which that was; None goes by the rows.
        remedy: what was done to an engine that failed; None where that is entered by itself, and of other outcomes.
    """

    outcome: Outcome
    at: datetime
    cycle: int | None = None
    remedy: Remedy | None = None

    @property
    def removes(self) -> bool:
        """Whether the engine comes off."""
        return Outcome.REPLACED in (self.outcome, self.remedy)

    @property
    def overhauls(self) -> bool:
        """Whether the engine is as new."""
        return Outcome.OVERHAULED in (self.outcome, self.remedy)
