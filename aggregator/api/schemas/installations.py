"""Where engines hang, over time."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from aggregator.api.paging import PageQuery
from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.store.reads.installations import InstallationRow

InstallationId = Annotated[
    str,
    Field(
        pattern=r"^[0-9A-Za-z-]{1,64}$",
        description="The id of an installation, made at the centre.",
        examples=["7f0c4c3e-0a51-4a0e-9c1e-6f1f1a5d2f10"],
    ),
]
InstallationCycle = Annotated[
    int | None,
    Field(
        strict=True,
        ge=0,
        le=2**31 - 1,
        description="The engine's age in cycles when it was installed here, since it was new or last overhauled; null "
        "where nobody knows. After cycle n of this installation it is this much and n.",
    ),
]


class Installation(BaseModel):
    """An engine at a position of a gateway, from … to."""

    id: InstallationId
    engine: Name
    gateway: Name
    position: Name
    installed_from: datetime
    installed_to: datetime | None = Field(description="When it was removed, itself no longer in; null while it hangs.")
    installation_cycle: InstallationCycle

    @classmethod
    def of(cls, row: InstallationRow) -> Self:
        """Show an installation of the store."""
        return cls(
            engine=row.serial,
            gateway=row.gateway,
            **row.installation.model_dump(include={*cls.model_fields} - {"engine", "gateway"}),
        )


class NewInstallation(BaseModel):
    """An engine that was hung at a position of a gateway."""

    model_config = ConfigDict(extra="forbid")

    engine: Name
    gateway: Name
    position: Name = Field(default="1", description="Its place at that gateway.")
    installed_from: AwareUtc | None = Field(default=None, description="Since when; null: now.")
    installed_to: AwareUtc | None = Field(default=None, description="Until when; null while it hangs.")
    installation_cycle: InstallationCycle = None
    id: InstallationId | None = Field(
        default=None,
        description="Only to enter again what was entered after the backup from which the centre was restored: the id "
        "that its records name.",
    )


class InstallationChange(BaseModel):
    """What is to be corrected of an installation; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    position: Name | None = Field(default=None, description="Null changes nothing.")
    installed_from: AwareUtc | None = Field(default=None, description="Null changes nothing.")
    installed_to: AwareUtc | None = Field(
        default=None, description="When the engine was removed. Null: it was not, it hangs there still."
    )
    installation_cycle: InstallationCycle = None


class InstallationQuery(PageQuery[Installation]):
    """Which installations are wanted."""

    engine: Name | None = None
    gateway: Name | None = None
    at: AwareUtc | None = Field(default=None, description="Only those that lasted at this instant.")
