"""Reads which predictions a model made."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlmodel import Session, col, select

from aggregator.access.roles import Sites
from aggregator.store.tables import Engine, Model, Prediction


class Made(NamedTuple):
    """A prediction, who made it, and of which engine."""

    prediction: Prediction
    model: Model
    serial: str


def list_models(session: Session) -> Sequence[Model]:
    """Read every model that some prediction names, by name and version."""
    return session.exec(select(Model).order_by(Model.name, Model.version, Model.sha256)).all()


def list_made(
    session: Session, sites: Sites, models: Sequence[Model], after: int | None = None, limit: int | None = None
) -> Sequence[Made]:
    """Read the predictions of some models for engines of these sites, those that were stored last first.

    ``after`` is the id to go on behind.
    """
    statement = (
        select(Prediction, Model, Engine.serial)
        .join(Model, col(Model.id) == col(Prediction.model_id))
        .join(Engine, col(Engine.id) == col(Prediction.engine_id))
        .where(col(Prediction.model_id).in_([model.id for model in models]))
        .order_by(col(Prediction.id).desc())
        .limit(limit)
    )
    if sites is not None:
        statement = statement.where(col(Engine.site).in_(sorted(sites)))
    if after is not None:
        statement = statement.where(col(Prediction.id) < after)
    return [Made(*row) for row in session.exec(statement)]
