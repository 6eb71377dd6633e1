"""Fields and buttons of pages on which something is edited, and what is said of what has come of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui
from pydantic import BaseModel, ValidationError

from aggregator.access.roles import Caller
from aggregator.dashboard.frame import Source
from shared.errors import SpoolwatchError

HOUR_S = 3600.0
FIELD = "outlined dense"


class Fields:
    """A field for each number that a model has; those in seconds are shown in hours.

    Args:
        model: of numbers, and a ``kind`` that is left out.
        values: what stands in them at first; None where nothing does.
    """

    def __init__(self, model: type[BaseModel], values: Mapping[str, Any]) -> None:
        self._model = model
        self._inputs: dict[str, ui.number] = {}
        for name, field in model.model_fields.items():
            if name == "kind":
                continue
            value = values.get(name)
            label = name.removesuffix("_s").replace("_", " ").capitalize()
            if name.endswith("_s"):
                label, value = f"{label} (hours)", None if value is None else value / HOUR_S
            number = ui.number(label, value=value, format="%g").props(FIELD)
            self._inputs[name] = number.tooltip(field.description or "")

    def values(self) -> dict[str, Any]:
        """What stands in them, without what is empty."""
        found: dict[str, Any] = {}
        for name, number in self._inputs.items():
            value = number.value
            if value is None:
                continue
            is_whole = self._model.model_fields[name].annotation is int and float(value).is_integer()
            found[name] = value * HOUR_S if name.endswith("_s") else int(value) if is_whole else float(value)
        return found


class Desk:
    """Where somebody changes something, off the event loop, and is told what has come of it.

    Args:
        source: where the page reads from.
        after: what is to follow, such as showing the page anew.
    """

    def __init__(self, source: Source, after: Callable[[], Awaitable[None]] | None = None) -> None:
        self._source, self._after = source, after
        self._said: ui.label | None = None

    def button(self, label: str, act: Callable[[Caller], str]) -> None:
        """A button; what its action returns is said, and so is why it did nothing."""

        async def clicked() -> None:
            visitor = await self._source.visitor()
            await self.tell(await asyncio.to_thread(_attempt, act, visitor))

        push_button(label, clicked)

    def place(self) -> None:
        """Say it here."""
        self._said = ui.label().classes("sw-said").props("role=status")

    async def tell(self, text: str) -> None:
        """Say it."""
        if self._said is not None:
            self._said.set_text(text)
        self._source.forget()
        if self._after is not None:
            await self._after()


def push_button(label: str, clicked: Callable[[], Awaitable[None]]) -> None:
    """A button."""
    ui.button(label, color=None).props("flat no-caps dense padding='6px 12px'").on("click", clicked)


def trouble_in_words(error: SpoolwatchError | ValueError) -> str:
    """Say why nothing was done."""
    if isinstance(error, ValidationError):
        return f"Nothing was done: {'; '.join(_trouble(one['loc'], one['msg']) for one in error.errors())}."
    return f"Nothing was done: {error}."


def _attempt(act: Callable[[Caller], str], visitor: Caller) -> str:
    try:
        return act(visitor)
    except (SpoolwatchError, ValueError) as error:
        return trouble_in_words(error)


def _trouble(location: tuple[int | str, ...], message: str) -> str:
    said = message.removeprefix("Value error, ")
    where = str(location[-1]).replace("_", " ") if location else ""
    return f"{where}: {said[:1].lower()}{said[1:]}" if where else said
