"""What somebody has chosen to see of a list: its order, its filters, and which page of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlencode

SEARCH_MAX_CHARS = 100

Change = Mapping[str, Any]
"""What a browser says was chosen; nothing about it can be trusted."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to choose from in a list.

    Attributes:
        sorts: the keys by which it can be sorted; the first one is what it begins with.
        falling: those that are shown falling at first.
        filters: the values that there are by the key of each filter.
        at_first: the values that are chosen at first.
    """

    sorts: Sequence[str]
    filters: Mapping[str, Sequence[str]]
    falling: Sequence[str] = ()
    at_first: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of a list.

    Attributes:
        sort: by what it is sorted.
        filters: the chosen values by filter, in the order of their keys, so that equal views are equal.
        places: where each page behind the first begins, up to the one that is shown.
    """

    sort: str
    is_falling: bool
    search: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    places: tuple[Any, ...] = ()

    @classmethod
    def first(cls, choices: Choices) -> Self:
        """What is shown at first."""
        sort = choices.sorts[0]
        return cls(sort, sort in choices.falling, filters=tuple(sorted(choices.at_first.items())))

    @classmethod
    def from_query(cls, query: Mapping[str, str], choices: Choices) -> Self:
        """What a URL asks for; what it asks for that there is not is passed over."""
        view = cls.first(choices)
        asked = query.get("sort", "")
        if asked.removeprefix("-") in choices.sorts:
            view = replace(view, sort=asked.removeprefix("-"), is_falling=asked.startswith("-"))
        view = replace(view, search=query.get("q", "")[:SEARCH_MAX_CHARS])
        for key in choices.filters.keys() & query.keys():
            view = view.filtered(key, query[key], choices)
        return view

    def query(self, choices: Choices) -> dict[str, str]:
        """What a URL says to show this; nothing of what is shown anyway."""
        first = View.first(choices)
        said: dict[str, str] = {}
        if (self.sort, self.is_falling) != (first.sort, first.is_falling):
            said["sort"] = f"-{self.sort}" if self.is_falling else self.sort
        given_up = {key: "" for key in choices.at_first if self.chosen(key) is None}
        chosen = {key: value for key, value in self.filters if choices.at_first.get(key) != value}
        return said | ({"q": self.search} if self.search else {}) | chosen | given_up

    def url_query(self, choices: Choices) -> str:
        """The same as it stands in the URL."""
        return urlencode(self.query(choices))

    def chosen(self, key: str) -> str | None:
        """The chosen value of a filter."""
        return dict(self.filters).get(key)

    def changed(self, change: Change, choices: Choices, next_place: object | None) -> Self:
        """What is shown after a change; one that cannot be changes nothing.

        Args:
            change: what was chosen.
            choices: what there is to choose from.
            next_place: where the page behind the one that is shown begins; None where there is none.
        """
        match change:
            case {"reset": True}:
                return replace(self.first(choices), sort=self.sort, is_falling=self.is_falling)
            case {"sort": str(sort)} if sort == self.sort:
                return replace(self, is_falling=not self.is_falling, places=())
            case {"sort": str(sort)} if sort in choices.sorts:
                return replace(self, sort=sort, is_falling=sort in choices.falling, places=())
            case {"search": str(search)}:
                return replace(self, search=search[:SEARCH_MAX_CHARS], places=())
            case {"filter": [str(key), str(value)]} if key in choices.filters:
                return self.filtered(key, value, choices)
            case {"move": "next"} if next_place is not None:
                return replace(self, places=(*self.places, next_place))
            case {"move": "previous"}:
                return replace(self, places=self.places[:-1])
            case _:
                return self

    def filtered(self, key: str, value: str, choices: Choices) -> Self:
        """What is shown with this value of a filter; with one that there is not, without it."""
        kept = {name: chosen for name, chosen in self.filters if name != key}
        if value in choices.filters[key]:
            kept[key] = value
        return replace(self, filters=tuple(sorted(kept.items())), places=())
