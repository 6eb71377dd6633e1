"""Field selection: a read shows, of each thing, only the fields that ``fields`` names."""

from typing import Any, Generic, TypeVar, get_args

import msgspec
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import core_schema
from starlette.datastructures import QueryParams

PARAMETER = "fields"

Item = TypeVar("Item")
_Fields = dict[str, msgspec.Raw]
_THINGS = msgspec.json.Decoder(list[_Fields])
_ANSWER = msgspec.json.Decoder(list[_Fields] | _Fields)


def _split(texts: list[str]) -> list[str]:
    return [name for text in texts for name in text.split(",")]


def _names(item: Any) -> list[str]:
    return list(getattr(item, "model_fields", getattr(item, "_fields", ())))


class Fields(list[str], Generic[Item]):
    """Names of fields of an item, a model or a named tuple; in a query they stand with commas between them."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Take no names but those that there are."""
        names = _names(*get_args(source))
        if not names:  # of a generic query, which no route takes
            return core_schema.any_schema()
        chosen = core_schema.list_schema(core_schema.literal_schema(names), min_length=1)
        return core_schema.no_info_before_validator_function(_split, chosen)


class FieldsQuery(BaseModel, Generic[Item]):
    """What every read takes that answers in JSON, of the item that it shows: ``FieldsQuery[Engine]``."""

    model_config = ConfigDict(extra="forbid")

    fields: Fields[Item] | None = Field(
        default=None,
        description="Which fields are wanted, with commas between them; without it, all. Of a list: of its items.",
    )


def select(query: bytes, body: bytes) -> bytes:
    """What a query wants of an answer in JSON: the fields of each item of a page or list, or of the one thing.

    >>> select(b"fields=a,c", b'{"items": [{"a": 1, "b": 2}], "next": null}')
    b'{"items":[{"a":1}],"next":null}'
    >>> select(b"limit=5", b'[{"a": 1}]')
    b'[{"a": 1}]'
    """
    wanted = set(_split(QueryParams(query).getlist(PARAMETER)))
    if not wanted:
        return body
    answer = _ANSWER.decode(body)
    if isinstance(answer, list):
        return msgspec.json.encode(_chosen(answer, wanted))
    if "items" in answer:
        return msgspec.json.encode({**answer, "items": _chosen(_THINGS.decode(answer["items"]), wanted)})
    return msgspec.json.encode(*_chosen([answer], wanted))


def describe_selection(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Say in the description of a read that of each thing it may show only some fields.

    Args:
        operation: of the OpenAPI description.
        schemas: of its components; one for some fields of what the read shows is added.
    """
    parameter = next((one for one in operation.get("parameters", []) if one["name"] == PARAMETER), None)
    if parameter is None:
        return
    parameter |= {"style": "form", "explode": False}
    content = operation["responses"]["200"]["content"].get("application/json")
    if content is None:
        return
    page = schemas.get(_name_of(content["schema"]), content["schema"]).get("properties", {}).get("items")
    holder, place = (
        (page or content["schema"], "items") if page or "items" in content["schema"] else (content, "schema")
    )
    whole = _name_of(holder[place])
    some = f"{whole}Fields"
    left = {name: value for name, value in schemas[whole].items() if name != "required"}
    schemas[some] = left | {"title": some, "description": f"Those fields of `{whole}` that `fields` names."}
    holder[place] = {"anyOf": [holder[place], {"$ref": f"#/components/schemas/{some}"}]}


def _name_of(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _chosen(things: list[_Fields], wanted: set[str]) -> list[_Fields]:
    return [{name: value for name, value in thing.items() if name in wanted} for thing in things]
