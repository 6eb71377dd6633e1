"""The page of one rule of alarms, on which it is tried, edited and deleted, and one on which a rule is added."""

from dataclasses import replace
from typing import Any, get_args

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from pydantic import BaseModel

from aggregator.access.roles import EVERYWHERE, Caller, Role, Sites
from aggregator.api.schemas.alarm_rules import NewRule
from aggregator.dashboard.forms import FIELD, HOUR_S, Desk, Fields
from aggregator.dashboard.frame import Source, notice, open_page
from aggregator.dashboard.rules_page import condition_in_words, try_rule, where_in_words
from aggregator.fleet.alarms import Priority, Rule
from aggregator.fleet.conditions import Condition, RulLow
from aggregator.store.alarm_rules import StoredRule, add_rule, delete_rule, find_rule, replace_rule
from aggregator.store.reads import Session
from aggregator.store.versions import version_of
from shared.errors import SpoolwatchError

KINDS: dict[str, type[BaseModel]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(Condition)[0])
}
AT_FIRST = RulLow(below_cycles=20, probability=0.05)
"""What stands in the fields of a new rule, where its kind does not say it by itself."""
NEW = "new"


async def show_rule(source: Source, rule_id: str) -> None:
    """Build the page for one browser."""
    wanted = int(rule_id) if rule_id.isdecimal() and len(rule_id) < 10 else 0

    async def ask() -> StoredRule | None:
        sites = (await source.visitor()).sites(Role.ENGINEER)
        return await source.read(lambda session, _: None if sites == frozenset() else _find(session, sites, wanted))

    def build(state: StoredRule | None, visitor: Caller) -> None:
        if visitor.sites(Role.ENGINEER) == frozenset():
            _refuse(403, "This page is for whoever is engineer somewhere")
        elif state is not None:
            _RulePage(source, visitor, state.rule, state)
        elif rule_id == NEW:
            kind = source.request.query_params.get("kind", AT_FIRST.kind)
            _NewRulePage(source, visitor, kind if kind in KINDS else AT_FIRST.kind)
        else:
            _refuse(404, f"There is no rule {rule_id[:20]}")

    ui.page_title("Rule · Spoolwatch")
    await open_page(source, ask, build)


def _find(session: Session, sites: Sites, rule_id: int) -> StoredRule | None:
    try:
        return find_rule(session, sites, rule_id)
    except SpoolwatchError:
        return None


def _refuse(status: int, why: str) -> None:
    ui.context.client.status_code = status
    with notice(why):
        ui.link("To the rules", "/rules")


class _Form:
    """What can be edited of a rule."""

    def __init__(self, kind: str, values: dict[str, Any], priority: Priority, escalates_after_s: float | None) -> None:
        self._kind = kind
        with ui.element("div").classes("sw-fields"):
            options = [one.value for one in reversed(Priority)]
            self._priority = ui.select(options, label="Priority", value=priority.value).props(FIELD)
            self._fields = Fields(KINDS[kind], values)
            after = None if escalates_after_s is None else escalates_after_s / HOUR_S
            self._after = ui.number("More urgent after (hours unseen)", value=after, format="%g").props(FIELD)

    def rule(self, name: str, site: str, type: str, *, is_enabled: bool = True) -> Rule:
        """What stands in it, as a rule.

        Raises:
            ValidationError: it is none.
        """
        hours = self._after.value
        said = {
            "name": name,
            "site": site or None,
            "type": type or None,
            "priority": self._priority.value,
            "condition": {"kind": self._kind} | self._fields.values(),
            "escalates_after_s": None if hours is None else hours * HOUR_S,
        }
        return replace(NewRule.model_validate(said).rule(), is_enabled=is_enabled)


class _RulePage:
    """The elements of one open page."""

    def __init__(self, source: Source, visitor: Caller, rule: Rule, stored: StoredRule) -> None:
        self._source, self._rule, self._id = source, rule, stored.row.id or 0
        self._seen = {version_of(stored.row)}
        _head(f"Rule {rule.name}: {where_in_words(rule)}", condition_in_words(rule.condition))
        desk = Desk(source)
        with ui.element("section").classes("sw-panel"):
            TextElement(tag="h2", text="What it says")
            values = rule.condition.model_dump()
            self._form = _Form(rule.condition.kind, values, rule.priority, rule.escalates_after_s)
            with ui.element("div").classes("sw-act"):
                desk.button("Try on 30 days", self._try)
                if visitor.may(Role.ENGINEER, rule.site or EVERYWHERE):
                    desk.button("Save", lambda by: self._save(by, is_enabled=rule.is_enabled))
                    label = "Save and switch off" if rule.is_enabled else "Save and switch on"
                    desk.button(label, lambda by: self._save(by, is_enabled=not rule.is_enabled))
                    desk.button("Delete", self._delete)
            desk.place()
        with ui.element("section").classes("sw-panel"):
            TextElement(tag="h2", text="Another one for a site or type, which goes before it there")
            _Adding(source, self._form, rule.name)

    def _try(self, by: Caller) -> str:
        rule = self._form.rule(self._rule.name, self._rule.site, self._rule.type)
        return f"As it stands here it {try_rule(self._source.centre.store, by, rule, self._source.now())}"

    def _save(self, by: Caller, *, is_enabled: bool) -> str:
        rule = self._form.rule(self._rule.name, self._rule.site, self._rule.type, is_enabled=is_enabled)
        store = self._source.centre.store
        replace_rule(store, self._id, lambda _: rule, self._source.now(), self._seen, by=by)
        with store.session() as session:
            self._seen = {version_of(find_rule(session, None, self._id).row)}
        return "Saved." if is_enabled else "Saved; it raises nothing now."

    def _delete(self, by: Caller) -> str:
        delete_rule(self._source.centre.store, self._id, self._source.now(), self._seen, by=by)
        return "Deleted; where no other rule of this name applies, its alarms are cleared within a minute."


class _NewRulePage:
    """The elements of an open page on which a rule is added."""

    def __init__(self, source: Source, visitor: Caller, kind: str) -> None:
        _head("A new rule", "With the name of another rule it goes before that one, for its site or type.")
        with ui.element("section").classes("sw-panel"):
            TextElement(tag="h2", text="What it says")
            kinds = {one: one.replace("_", " ") for one in KINDS}
            ui.select(
                kinds, label="Kind", value=kind, on_change=lambda e: ui.navigate.to(f"/rules/{NEW}?kind={e.value}")
            ).props(FIELD)
            defaults = {
                name: field.default for name, field in KINDS[kind].model_fields.items() if not field.is_required()
            }
            at_first = AT_FIRST.model_dump() if kind == AT_FIRST.kind else defaults
            form = _Form(kind, at_first, Priority.MEDIUM, None)
            _Adding(source, form, "")


class _Adding:
    """The fields and the button by which a rule is added."""

    def __init__(self, source: Source, form: _Form, name: str) -> None:
        self._source, self._form = source, form
        desk = Desk(source)
        with ui.element("div").classes("sw-fields"):
            self._name = ui.input("Name", value=name).props(FIELD)
            self._site = ui.input("Site; all if empty").props(FIELD)
            self._type = ui.input("Type of engine; all if empty").props(FIELD)
        with ui.element("div").classes("sw-act"):
            desk.button("Add", self._add)
        desk.place()

    def _add(self, by: Caller) -> str:
        name, site, kind = (str(one.value or "").strip() for one in (self._name, self._site, self._type))
        rule_id = add_rule(self._source.centre.store, self._form.rule(name, site, kind), self._source.now(), by=by)
        return f"Added as rule {rule_id}: from now on it is followed."


def _head(title: str, lead: str) -> None:
    with ui.element("div").classes("sw-title"):
        ui.link("← Rules", "/rules").classes("sw-back")
        TextElement(tag="h1", text=title)
    TextElement(tag="p", text=lead).classes("sw-lead")
