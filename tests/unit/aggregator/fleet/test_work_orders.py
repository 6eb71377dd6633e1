"""The life cycle of a work order, whatever people try."""

from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aggregator.fleet.work_orders import UNFINISHED, Conclusion, Outcome, Remedy, State, Step, StepError, after

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class LifeCycle(RuleBasedStateMachine):
    """A work order of which each step is tried in any state, beside what a shop would say."""

    def __init__(self):
        super().__init__()
        self.state, self.has_date, self.has_begun, self.is_over = State.OPEN, False, False, False

    def take(self, step, *, is_taken):
        if not is_taken:
            with pytest.raises(StepError, match=f"it is {self.state}, and can be {step} only while it is "):
                after(self.state, step, is_planned=self.has_date)
            return
        self.state = after(self.state, step, is_planned=self.has_date)

    @rule(has_date=st.booleans())
    def edit(self, has_date):
        if not self.is_over:
            self.has_date = has_date
        self.take(Step.EDITED, is_taken=not self.is_over)

    @rule()
    def start(self):
        self.take(Step.STARTED, is_taken=not self.is_over and not self.has_begun)
        self.has_begun = self.has_begun or not self.is_over

    @rule(step=st.sampled_from([Step.DONE, Step.CANCELLED]))
    def end(self, step):
        self.take(step, is_taken=not self.is_over)
        self.is_over = True

    @precondition(lambda self: not self.is_over)
    @rule()
    def correct_what_has_no_outcome(self):
        self.take(Step.CORRECTED, is_taken=False)

    @precondition(lambda self: self.is_over)
    @rule()
    def correct(self):
        self.take(Step.CORRECTED, is_taken=self.state is State.DONE)

    @rule(step=st.just(Step.COMMENTED))
    def comment(self, step):
        before = self.state
        self.take(step, is_taken=True)
        assert self.state is before

    @rule()
    def link(self):
        self.take(Step.LINKED, is_taken=not self.is_over)

    @invariant()
    def its_state_is_what_has_happened(self):
        if self.is_over:
            assert self.state in (State.DONE, State.CANCELLED)
        elif self.has_begun:
            assert self.state is State.IN_PROGRESS
        else:
            assert self.state is (State.PLANNED if self.has_date else State.OPEN)
        assert (self.state in UNFINISHED) is not self.is_over


TestLifeCycle = LifeCycle.TestCase
TestLifeCycle.settings = settings(max_examples=20)


@pytest.mark.parametrize(
    ("outcome", "remedy", "removes", "overhauls"),
    [
        (Outcome.FAILED, None, False, False),
        (Outcome.FAILED, Remedy.REPLACED, True, False),
        (Outcome.FAILED, Remedy.OVERHAULED, False, True),
        (Outcome.REPLACED, None, True, False),
        (Outcome.OVERHAULED, None, False, True),
        (Outcome.NO_FAULT_FOUND, None, False, False),
    ],
)
def test_an_outcome_says_what_becomes_of_the_engine(outcome, remedy, removes, overhauls):
    conclusion = Conclusion(outcome, NOW, remedy=remedy)
    assert (conclusion.removes, conclusion.overhauls) == (removes, overhauls)
