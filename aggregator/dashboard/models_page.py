"""The models, and how right each was over the lives whose end is known."""

from collections.abc import Sequence
from datetime import datetime
from statistics import median

from aggregator.access.roles import Caller, Sites
from aggregator.dashboard.frame import Source
from aggregator.dashboard.lists import Column, Empty, Layout, Listing, Numbers, Portion, Shown, card
from aggregator.dashboard.view import View
from aggregator.fleet.scoring import LIVES_MIN, figures_of
from aggregator.store.reads import Session
from aggregator.store.reads.lineage import list_models
from aggregator.store.reads.outcomes import ModelOutcome, read_alarm_outcomes, read_model_outcomes

COLUMNS = (
    Column("model", "Model", phone="title"),
    Column("lives", "Lives", hint="Engines that failed, over whose lives it had predicted", phone="corner"),
    Column("rmse", "Error", hint="RMSE of the mean, up to the model's cap"),
    Column("near", "Last 50 cycles", hint="The error where 50 cycles or fewer were left", phone="none"),
    Column("bias", "Bias", hint="Above 0 it predicts too much", phone="none"),
    Column("coverage", "Coverage", hint="Which part of its 90 % intervals held what was left", phone="right"),
    Column("lead", "Warned", hint="When rul-critical would first have spoken, the median"),
    Column(
        *("censored", "Taken off in time"),
        hint="Replaced or overhauled before: how long they would have lasted, nobody knows",
        phone="none",
    ),
)
LEAD_RULE = "rul-critical"


class ModelListing(Listing):
    """Every model that made a prediction."""

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        return Layout(
            title="Models",
            heading="How right each model was",
            columns=COLUMNS,
            sorts=("name",),
            empty=Empty("No model has predicted anything yet", ("It appears here with its first prediction.",)),
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""
        failures, alarms = read_alarm_outcomes(session, sites)
        false = sum(one.outcomes["no_fault_found"] for one in alarms)
        worked = sum(one.outcomes.total() for one in alarms)
        warned = next((len(one.leads) for one in alarms if one.rule == LEAD_RULE), 0)
        cards = [
            card("failures", failures, "of which somebody has told"),
            card("warned_of", warned, f"by {LEAD_RULE}, in that life"),
            card("false_alarms", false, f"no fault found, of {worked} alarms with work done"),
        ]
        return Numbers(cards, not list_models(session, sites))

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say."""
        known = {one.model.id: one for one in read_model_outcomes(session, sites)}
        rows = [row_of(known.get(model.id) or ModelOutcome(model)) for model in list_models(session, sites)]
        return Portion(rows, total=len(rows))


def row_of(one: ModelOutcome) -> Shown:
    """One model; of too few lives it is said that they are."""
    model, figures = one.model, figures_of(one.failed)
    shown = {
        "key": model.sha256,
        "name": f"{model.name} {model.version}",
        "model": f"{model.name} {model.version}",
        "lives": f"{len(one.failed)} failed",
        "censored": len(one.censored),
    }
    notes = {"model": f"{model.sha256[:12]}…"}
    if figures is None:
        return shown | {"notes": notes | {"rmse": "no engine has failed yet"}}
    few = f"of fewer than {LIVES_MIN} lives"
    notes["rmse"] = few if figures.rmse_interval is None else _between(figures.rmse_interval, 1)
    if figures.coverage_interval is not None:
        notes["coverage"] = _between([100 * end for end in figures.coverage_interval], 0, " %")
    leads = [lead for lead in one.leads.get(LEAD_RULE, ()) if lead is not None]
    return shown | {
        "rmse": f"{figures.rmse_cycles:.1f} cycles",
        "near": None if figures.rmse_near_failure_cycles is None else f"{figures.rmse_near_failure_cycles:.1f}",
        "bias": f"{figures.bias_cycles:+.1f}",
        "coverage": f"{100 * figures.coverage:.0f} % held",
        "lead": f"{median(leads):g} cycles before" if leads else None,
        "notes": notes | {"lead": f"in {len(leads)} of {len(one.leads.get(LEAD_RULE, ()))} lives"},
    }


def _between(ends: Sequence[float], decimals: int, unit: str = "") -> str:
    low, high = ends
    return f"{low:.{decimals}f} to {high:.{decimals}f}{unit}"
