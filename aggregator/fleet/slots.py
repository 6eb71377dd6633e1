"""Gives engines the slots of a shop so that they save most in all: a transportation problem, solved by HiGHS."""

import numpy as np
from numpy.typing import NDArray

from shared.errors import SpoolwatchError

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

LEFT = -1
"""Stands for the week of an engine that gets no slot."""
TIME_LIMIT_S = 20.0


class SlotsError(SpoolwatchError):
    """The solver found no best assignment within its time limit."""


def assign(savings: Floats, slots: Places, time_limit_s: float = TIME_LIMIT_S) -> Places:
    """The week of each engine, ``LEFT`` where it gets none, by which all together save most.

    The corners of this linear program are whole numbers (each variable stands in the row of one engine and of one week,
    so its matrix is totally unimodular), and the simplex method ends in a corner.

    Args:
        savings: what an engine saves in a week, shape (engines, weeks); it gets no slot where that is not above 0.
        slots: how many there are in each week.
        time_limit_s: how long the solver may take.

    Raises:
        SlotsError: that was too short.

    >>> assign(np.array([[5.0, 4.0], [5.0, 1.0], [2.0, 0.0]]), np.array([1, 1])).tolist()
    [1, 0, -1]
    """
    engines, weeks = np.nonzero(_worth_looking_at(savings, slots))
    assigned = np.full(len(savings), LEFT)
    if len(engines):
        chosen = _solve(savings[engines, weeks], engines, weeks, slots, time_limit_s)
        assigned[engines[chosen]] = weeks[chosen]
    return assigned


def _worth_looking_at(savings: Floats, slots: Places) -> NDArray[np.bool_]:
    """In a week with slots, those that save most there, as many as there are slots in all.

    Of so many one is always free, who could take the place of an engine that saves less.
    """
    worth = (savings > 0) & (slots > 0)
    places = int(slots.sum())
    if 0 < places < len(savings):
        least = np.partition(savings, -places, axis=0)[-places]
        worth &= savings >= least
    return worth


def _solve(savings: Floats, engines: Places, weeks: Places, slots: Places, time_limit_s: float) -> NDArray[np.bool_]:
    import highspy  # not before somebody wants a plan

    _, rows = np.unique(engines, return_inverse=True)
    engine_rows = int(rows.max()) + 1
    count = len(savings)
    problem = highspy.HighsLp()
    problem.num_col_, problem.num_row_ = count, engine_rows + len(slots)
    problem.col_cost_ = -savings / savings.max()  # in whichever currency they are
    problem.col_lower_, problem.col_upper_ = np.zeros(count), np.ones(count)
    problem.row_lower_ = np.full(problem.num_row_, -highspy.kHighsInf)
    problem.row_upper_ = np.concatenate([np.ones(engine_rows), slots.astype(np.float64)])
    problem.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    problem.a_matrix_.start_ = np.arange(0, 2 * count + 1, 2)
    problem.a_matrix_.index_ = np.column_stack([rows, engine_rows + weeks]).ravel()
    problem.a_matrix_.value_ = np.ones(2 * count)
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # untyped in highspy
    for option, value in (("output_flag", False), ("solver", "simplex"), ("threads", 1), ("time_limit", time_limit_s)):
        solver.setOptionValue(option, value)
    solver.passModel(problem)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        status = solver.modelStatusToString(solver.getModelStatus())
        raise SlotsError(
            f"no best plan for {engine_rows} engines in {len(slots)} weeks was found in {time_limit_s:g} s ({status}); "
            "ask for fewer weeks, one site, or one type"
        )
    return np.asarray(solver.getSolution().col_value) > 0.5
