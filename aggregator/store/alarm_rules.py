"""The rules of alarms as the store keeps them: read by whatever raises alarms, edited by people."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from pydantic import TypeAdapter
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col
from sqlmodel import select as read

from aggregator.access.roles import EVERYWHERE, THIS_MACHINE, Caller, Role, Sites
from aggregator.fleet.alarms import Priority, Rule
from aggregator.fleet.conditions import Condition
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.registry import NotAtSiteError, RegistryError, key_of, shown
from aggregator.store.tables import AlarmRule, core
from aggregator.store.versions import check_version

log = structlog.get_logger(__name__)

_rule = core(AlarmRule)
_COLUMNS = ("name", "site", "type", "priority", "is_enabled", "condition", "escalates_after_s")
_EVERY = select(*(_rule.c[name] for name in _COLUMNS))
_CONDITION: TypeAdapter[Condition] = TypeAdapter(Condition)


class NoSuchRuleError(RegistryError):
    """There is no rule of this id where whoever asks may see it."""


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule and its row."""

    rule: Rule
    row: AlarmRule


def read_rules(connection: Connection) -> list[Rule]:
    """Every rule that this version of the program understands, also those that are switched off."""
    return [rule for row in connection.execute(_EVERY) if (rule := _read(*row)) is not None]


def not_understood(connection: Connection) -> set[str]:
    """The names of rules that this version of the program does not understand, which leaves their alarms alone."""
    return {row.name for row in connection.execute(_EVERY) if _read(*row) is None}


def list_rules(session: Session, sites: Sites) -> list[StoredRule]:
    """The rules for all sites and those for these, by name."""
    query = read(AlarmRule).order_by(AlarmRule.name, AlarmRule.site, AlarmRule.type)
    if sites is not None:
        query = query.where(col(AlarmRule.site).in_(["", *sorted(sites)]))
    return [StoredRule(rule, row) for row in session.exec(query) if (rule := _rule_of(row)) is not None]


def find_rule(session: Session, sites: Sites, rule_id: int) -> StoredRule:
    """One rule.

    Raises:
        NoSuchRuleError: there is none of this id that may be seen.
    """
    row = session.get(AlarmRule, rule_id)
    rule = None if row is None else _rule_of(row)
    if row is None or rule is None or not (sites is None or row.site == "" or row.site in sites):
        raise NoSuchRuleError(f"there is no alarm rule {rule_id}")
    return StoredRule(rule, row)


def add_rule(store: Store, wanted: Rule, now: datetime, *, by: Caller = THIS_MACHINE) -> int:
    """Add a rule, mostly one that goes before another of the same name at a site or for a type. Returns its id.

    Raises:
        NotAtSiteError: whoever adds it is no engineer there.
        RegistryError: there is one of this name and scope, or one of this name and of another kind.
    """
    _check_may(wanted.site, by)
    try:
        with store.session(writes=True) as session:
            _check_kind(session, wanted)
            row = AlarmRule(**_columns(wanted))
            session.add(row)
            session.flush()
            audit(session, by, now, _change("add", row, after=shown(row)))
            session.commit()
            return key_of(row.id)
    except IntegrityError as error:
        raise RegistryError(f"there is a rule {wanted.name} of this scope already; edit that one") from error


def replace_rule(
    store: Store,
    rule_id: int,
    wanted: Callable[[Rule], Rule],
    now: datetime,
    seen: Collection[str] | None = None,
    *,
    by: Caller = THIS_MACHINE,
) -> None:
    """Put another rule in the place of one; its name and scope stay.

    Args:
        store: where.
        rule_id: which.
        wanted: makes the new one from the old one.
        now: when.
        seen: the versions that may be replaced; None for any.
        by: who wants it.

    Raises:
        NoSuchRuleError: there is none of this id.
        NotAtSiteError: whoever edits it is no engineer there.
        RegistryError: others of this name are of another kind.
        ChangedError: it is in no version out of ``seen``.
    """
    with store.session(writes=True) as session:
        found = _locked(session, rule_id, seen, by)
        rule, before = wanted(found.rule), shown(found.row)
        _check_kind(session, rule, but=rule_id)
        found.row.sqlmodel_update(_columns(rule))
        audit(session, by, now, _change("edit", found.row, before, shown(found.row)))
        session.commit()


def delete_rule(
    store: Store, rule_id: int, now: datetime, seen: Collection[str] | None = None, *, by: Caller = THIS_MACHINE
) -> None:
    """Delete a rule: then one of a wider scope applies, if there is one. Its alarms are cleared where none does.

    Raises:
        NoSuchRuleError: there is none of this id.
        NotAtSiteError: whoever deletes it is no engineer there.
        ChangedError: it is in no version out of ``seen``.
    """
    with store.session(writes=True) as session:
        row = _locked(session, rule_id, seen, by).row
        audit(session, by, now, _change("delete", row, before=shown(row)))
        session.delete(row)
        session.commit()


def _rule_of(row: AlarmRule) -> Rule | None:
    return _read(*(getattr(row, name) for name in _COLUMNS))


def _read(
    name: str, site: str, type: str, priority: str, is_enabled: bool, condition: dict[str, Any], after_s: float | None
) -> Rule | None:
    return _understood(name, site, type, priority, is_enabled, msgspec.json.encode(condition), after_s)


@lru_cache(maxsize=1024)  # every batch of records reads the rules
def _understood(
    name: str, site: str, type: str, priority: str, is_enabled: bool, condition: bytes, after_s: float | None
) -> Rule | None:
    """A rule; None for one that a newer program has written, which is theirs to follow."""
    try:
        return Rule(name, Priority(priority), _CONDITION.validate_json(condition), site, type, is_enabled, after_s)
    except ValueError as error:
        log.warning("alarm_rule_not_understood", rule=name, error=str(error))
        return None


def _columns(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "site": rule.site,
        "type": rule.type,
        "priority": rule.priority.value,
        "is_enabled": rule.is_enabled,
        "condition": rule.condition.model_dump(mode="json"),
        "escalates_after_s": rule.escalates_after_s,
    }


def _locked(session: Session, rule_id: int, seen: Collection[str] | None, by: Caller) -> StoredRule:
    session.get(AlarmRule, rule_id, with_for_update=True)
    found = find_rule(session, by.sites(Role.ENGINEER), rule_id)
    _check_may(found.row.site, by)
    check_version(found.row, seen)
    return found


def _check_may(site: str, by: Caller) -> None:
    if not by.may(Role.ENGINEER, site or EVERYWHERE):
        raise NotAtSiteError(site or EVERYWHERE)


def _check_kind(session: Session, wanted: Rule, but: int | None = None) -> None:
    """All rules of a name are of one kind, because an alarm goes on when another of them comes to apply."""
    query = read(AlarmRule).where(AlarmRule.name == wanted.name)
    others: Sequence[AlarmRule] = [row for row in session.exec(query) if row.id != but]
    for row in others:
        if row.condition["kind"] != wanted.condition.kind:
            raise RegistryError(
                f"rule {wanted.name} is of kind {row.condition['kind']} in another scope; "
                "give this one a name of its own"
            )


def _change(
    action: str, row: AlarmRule, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
) -> Change:
    return Change(f"alarm_rule.{action}", f"alarm rule {row.name}", row.site or None, before, after)
