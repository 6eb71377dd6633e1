"""Texts that pages show of one thing, and that change while it is looked at."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement


class Fact:
    """A card with one value and a note to it."""

    def __init__(self, label: str) -> None:
        with ui.element("div").classes("sw-card is-plain"):
            ui.label(label).classes("sw-card-label")
            self._value = ui.label("–").classes("sw-card-value")
            self._note = ui.label().classes("sw-card-note")

    def show(self, value: str, note: str) -> None:
        """Show another value."""
        self._value.set_text(value)
        self._note.set_text(note)


class Terms:
    """A list of terms whose texts change; times are shown in the zone of whoever looks."""

    def __init__(self, terms: Mapping[str, str | datetime | None]) -> None:
        self._texts: dict[str, ui.html] = {}
        with ui.element("dl").classes("sw-terms"):
            for term, text in terms.items():
                TextElement(tag="dt", text=term)
                self._texts[term] = ui.html(_spelt(text), sanitize=False, tag="dd")

    def show(self, terms: Mapping[str, str | datetime | None]) -> None:
        """Show other texts to the same terms."""
        for term, text in terms.items():
            self._texts[term].set_content(_spelt(text))


class Entries:
    """A panel with a list of entries, each in HTML; a note below its title, or what it says where it has none."""

    def __init__(self, title: str, none: str) -> None:
        self._none = none
        self._shown: Sequence[str] = ()
        with ui.element("section").classes("sw-panel"):
            TextElement(tag="h2", text=title)
            self._note = TextElement(tag="small", text=none)
            self._list = ui.html("", sanitize=False, tag="ul").classes("sw-entries")

    def show(self, entries: Sequence[str], note: str = "") -> None:
        """Show other entries; whatever comes from outside is escaped in them already."""
        self._note.set_text(note if entries or note else self._none)
        if entries != self._shown:
            self._shown = entries
            self._list.set_content("".join(f"<li>{entry}</li>" for entry in entries))


def local_time(at: datetime) -> str:
    """A time as HTML; ``frame`` has what spells it in the zone of whoever looks."""
    return f'<sw-time at="{at.isoformat()}">{at:%Y-%m-%d %H:%M} UTC</sw-time>'


def _spelt(text: str | datetime | None) -> str:
    if isinstance(text, datetime):
        return local_time(text)
    return escape(text or "–")
