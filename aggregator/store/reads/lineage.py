"""Reads which predictions a model made."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import true
from sqlmodel import Session, col, select

from aggregator.access.roles import Sites
from aggregator.store.tables import Engine, Model, Prediction, TakenCycles

NEWEST = 2_000


class Made(NamedTuple):
    """A prediction, who made it, and of which engine."""

    prediction: Prediction
    model: Model
    serial: str


def list_models(session: Session, sites: Sites = None) -> Sequence[Model]:
    """Read every model that made a prediction, pruned or not, for an engine of these sites, by name and version."""
    statement = select(Model).order_by(Model.name, Model.version, Model.sha256)
    if sites is not None:
        here = col(Engine.site).in_(sorted(sites))
        made = select(TakenCycles.model_id).join(Engine, col(Engine.id) == TakenCycles.engine_id).where(here)
        statement = statement.where(col(Model.id).in_(made.distinct()))
    return session.exec(statement).all()


def list_made(
    session: Session, sites: Sites, models: Sequence[Model], after: int | None = None, limit: int | None = None
) -> Sequence[Made]:
    """Read the predictions of some models for engines of these sites, those that were stored last first.

    ``after`` is the id to go on behind.
    """
    every = (
        select(Prediction, Model, Engine.serial)
        .join(Model, col(Model.id) == Prediction.model_id)
        .join(Engine, col(Engine.id) == Prediction.engine_id)
    )
    model_ids = [model.id for model in models]
    place, by_models = col(Prediction.id), col(Prediction.model_id).in_(model_ids)
    before = true() if after is None else place < after
    if sites is None:
        statement = every.where(by_models, before).order_by(place.desc()).limit(limit)
        return [Made(*row) for row in session.exec(statement)]
    here = col(Engine.site).in_(sorted(sites))
    # One of these sites soon comes among the newest, or its engines are few or long silent: then by their index.
    newest = (
        select(place, Prediction.engine_id).where(by_models, before).order_by(place.desc()).limit(NEWEST).subquery()
    )
    soon = select(newest.c.id).join(Engine, col(Engine.id) == newest.c.engine_id).where(here)
    found = session.exec(soon.order_by(newest.c.id.desc()).limit(limit)).all()
    if limit is not None and len(found) == limit:
        statement = every.where(place.in_(found)).order_by(place.desc())
    else:
        engines = session.exec(select(Engine.id).where(here)).all()
        # The additions keep databases from walking through the index of the model or of the ids after all.
        of_engines = col(Prediction.engine_id).in_(engines), (col(Prediction.model_id) + 0).in_(model_ids), before
        statement = every.where(*of_engines).order_by((place + 0).desc()).limit(limit)
    return [Made(*row) for row in session.exec(statement)]
