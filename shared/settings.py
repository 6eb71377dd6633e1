"""Loads the settings of a program: flags over environment over a TOML file; built once, frozen, passed down."""

import argparse
import os
import re
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableError

from shared.errors import SettingsError, TopicError
from shared.topics import check_level, check_site

EX_CONFIG = 78

Transport = Literal["tcp", "websockets"]
"""What MQTT travels over; websockets pass firewalls that let only the web through."""

S = TypeVar("S", bound=BaseSettings)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own.

    >>> is_loopback("127.0.0.1"), is_loopback("192.0.2.1")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _level(name: str) -> str:
    try:
        return check_level(name)
    except TopicError as error:
        raise ValueError(str(error)) from error


def _site(name: str) -> str:
    try:
        return check_site(name)
    except TopicError as error:
        raise ValueError(str(error)) from error


def _version_number(version: object) -> object:
    """The environment and flags give text."""
    return int(version) if version in ("3", "5") else version


Name = Annotated[str, AfterValidator(_level)]
SiteName = Annotated[str, AfterValidator(_site)]
MqttVersion = Annotated[Literal[3, 5], BeforeValidator(_version_number)]


class Section(BaseModel):
    """A group of settings: frozen, nothing unknown let through."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ProgramSettings(BaseSettings):
    """What the settings of both programs share: frozen, nothing unknown let through."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_nested_delimiter="__", nested_model_default_partial_update=True
    )


class CommandParser(argparse.ArgumentParser):
    """A parser of commands of which some take every setting as a flag.

    The flags, half of what a short command would cost, are added to the one command that is run or asked for help.
    """

    _settings_type: type[BaseSettings] | None = None

    def take_settings(self, settings_type: type[BaseSettings]) -> None:
        """Take ``--config FILE`` and one flag per setting; ``load`` finds them in what was parsed."""
        self._settings_type = settings_type

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does."""
        if self._settings_type is not None:
            self.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
            self.set_defaults(flags=_add_flags(self._settings_type, self))
            self._settings_type = None
        return super().parse_known_args(args, namespace)


def _add_flags(settings_type: type[BaseSettings], parser: argparse.ArgumentParser) -> CliSettingsSource[Any]:
    return CliSettingsSource(
        settings_type,
        root_parser=parser,
        cli_parse_args=False,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        formatter_class=argparse.HelpFormatter,
    )


def load(
    settings_type: type[S],
    config: Path | None = None,
    *,
    arguments: argparse.Namespace | None = None,
    beneath: Path | None = None,
) -> S:
    """Build the settings of a program.

    Args:
        settings_type: the program's settings class.
        config: a TOML file, the weakest source but for ``beneath``.
        arguments: what a ``CommandParser`` parsed, the strongest source.
        beneath: another TOML file, which ``config`` may say better; it need not be there.

    Raises:
        SettingsError: names every wrong or unknown setting, a line each.
    """
    if config is not None:
        _check_file(config)
    if beneath is not None and beneath.exists():
        _check_file(beneath)
    wrong = _unknown_variables(settings_type)

    class Loaded(settings_type):  # type: ignore[valid-type, misc]  # the file is known only now
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], env_settings: PydanticBaseSettingsSource, **_: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            files = (TomlConfigSettingsSource(settings_cls, file) for file in (config, beneath))
            return (env_settings, *files)

    Loaded.__name__ = settings_type.__name__
    cause: Exception | None = None
    try:
        command_line = arguments.flags(parsed_args=arguments) if arguments else None
        settings = Loaded(_cli_settings_source=command_line)
    except ValidationError as error:
        wrong, cause = wrong + _explain(error, settings_type), error
    except UnreadableError as error:
        wrong, cause = [*wrong, _unreadable(error, settings_type)], error
    if wrong:
        raise SettingsError("\n".join(wrong)) from cause
    return settings


def _check_file(config: Path) -> None:
    try:
        with config.open("rb") as file:
            tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"settings file {config}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {config} is not TOML: {error}") from error


def _unknown_variables(settings_type: type[BaseSettings]) -> list[str]:
    """Pydantic-settings ignores a misspelt top-level variable; we name it instead."""
    prefix = _variable(settings_type)
    fields = {name.upper() for name in settings_type.model_fields}
    return [
        f"environment variable {name} is not a setting"
        for name in sorted(os.environ)
        if name.upper().startswith(prefix) and name.upper().removeprefix(prefix).split("__")[0] not in fields
    ]


def _explain(error: ValidationError, settings_type: type[BaseSettings]) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        path = _path(problem["loc"], settings_type)
        what = "is not a setting" if problem["type"] == "extra_forbidden" else problem["msg"]
        what = what.removeprefix("Value error, ")
        lines.append(f"{'.'.join(map(str, path))}: {what} ({_hint(path, settings_type)})" if path else what)
    return lines


def _path(loc: tuple[int | str, ...], settings_type: type[BaseSettings]) -> tuple[int | str, ...]:
    """Where a setting is, without the ``kind`` that pydantic puts behind the name of a union."""
    field = settings_type.model_fields.get(str(loc[0])) if loc else None
    return (loc[0], *loc[2:]) if field is not None and field.discriminator else loc


def _hint(path: tuple[int | str, ...], settings_type: type[BaseSettings]) -> str:
    """The variable to set; a list has one for the whole."""
    names = [str(part) for part in path]
    places = [number for number, part in enumerate(path) if isinstance(part, int)]
    return f"environment: {_variable(settings_type, *names[: places[0] if places else None])}"


def _variable(settings_type: type[BaseSettings], *path: str) -> str:
    return (settings_type.model_config.get("env_prefix", "") + "__".join(path)).upper()


def _unreadable(error: UnreadableError, settings_type: type[BaseSettings]) -> str:
    """A flag or variable whose text is not the JSON that a list or a group of settings takes."""
    named = re.search(r'for (?:field )?"?(\w+)', str(error))
    if named is None:
        return str(error)
    return f"{named[1]}: not JSON: {error.__cause__} ({_hint((named[1],), settings_type)})"
