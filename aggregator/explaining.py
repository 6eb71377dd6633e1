"""Why an engine is judged as it is: what has moved since its first rows, in the eyes of the model that judges it."""

from collections.abc import Sequence
from dataclasses import dataclass

from aggregator.fleet.movement import LATEST_ROWS, Baseline, Movement, Row, movements
from aggregator.released import features_of
from aggregator.store.reads import Session
from aggregator.store.reads.engine import EngineDetail, end_rows


@dataclass(frozen=True, slots=True)
class Explanation:
    """The channels by how far they have moved, the farthest first; and the rows it is told from, or why there are none.

    Attributes:
        baseline: what each row can be compared with; known before there is anything to tell.
        first: the first rows of the installation, which the latest ones are compared with.
        unknown: why nothing can be told; None where something can.
    """

    movements: Sequence[Movement] = ()
    baseline: Baseline | None = None
    first: Sequence[Row] = ()
    latest: Sequence[Row] = ()
    unknown: str | None = None


def explain(session: Session, detail: EngineDetail) -> Explanation:
    """Compare the latest rows of an engine with its first ones."""
    if detail.current is None or detail.prediction is None:
        return Explanation(unknown="There is no prediction yet.")
    model = detail.prediction[1]
    features = features_of(model.name, model.version, model.sha256)
    if features is None:
        return Explanation(unknown="The model of the latest prediction is not installed at the centre.")
    wanted = features.spec.baseline_rows
    first, latest = (
        [Row(row.cycle, row.channels) for row in end_rows(session, detail.current, limit, newest=newest)]
        for limit, newest in ((wanted, False), (LATEST_ROWS, True))
    )
    baseline = Baseline.of(features, first) if len(first) == wanted else None
    if baseline is None or len(latest) < wanted or latest[-1].cycle <= first[-1].cycle:
        reason = f"There are no more rows than the {wanted} of the baseline, so nothing to compare them with."
        return Explanation(baseline=baseline, unknown=reason)
    return Explanation(movements(baseline, latest), baseline, first, latest)
