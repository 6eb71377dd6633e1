"""What the centre says of the engines at this gateway: believed if its key has signed it, and kept over restarts."""

from collections.abc import Iterable

import structlog

from edge_agent.outbox import Outbox
from edge_agent.settings import AgentSettings
from edge_agent.signatures import verifier
from shared.desired import DesiredEngine, EngineDesired, SignedEngineDesired
from shared.errors import MessageError
from shared.messages import VERSION, decode

log = structlog.get_logger(__name__)


class Desired:
    """What hangs at one gateway, as the centre last said.

    Args:
        settings: names and key.
        outbox: where it is kept.
    """

    def __init__(self, settings: AgentSettings, outbox: Outbox) -> None:
        self._site, self._gateway = settings.site, settings.gateway
        self._watched = {engine.serial for engine in settings.engines}
        self._outbox = outbox
        self._verify = None if settings.centre_key is None else verifier(settings.centre_key)
        self._ordinal = 0
        self._engines: dict[str, DesiredEngine] = {}
        self._remember()

    def of(self, serial: str) -> DesiredEngine | None:
        """What the centre says of an engine; None where it has said nothing, or does not know it here."""
        return self._engines.get(serial)

    def take(self, payload: bytes) -> None:
        """Believe a message and keep it; one that comes again changes nothing.

        Raises:
            MessageError: it is not the centre's, not for this gateway, or older than what the centre said since.
            OutboxError: it holds, but cannot be kept for now; it comes again with the next connection.
        """
        desired = self._ours(payload)
        if desired.ordinal < self._ordinal:
            raise MessageError(f"it is older ({desired.ordinal}) than what the centre said since ({self._ordinal})")
        if desired.ordinal > self._ordinal:
            self._hold(desired)
            log.info("engines_desired", ordinal=desired.ordinal, engines=sorted(self._engines))
            self._warn_of_others(self._engines)
        # What was forgotten may be kept under a higher ordinal.
        if self._outbox.desired() != (desired.ordinal, payload):
            self._outbox.keep_desired(desired.ordinal, payload)

    def _ours(self, payload: bytes) -> EngineDesired:
        desired = self._signed(payload)
        if (desired.site, desired.gateway) != (self._site, self._gateway):
            raise MessageError(f"it is meant for gateway {desired.gateway} at {desired.site}")
        return desired

    def _signed(self, payload: bytes) -> EngineDesired:
        if self._verify is None:
            raise MessageError("no key of the centre is set (setting centre_key)")
        signed = decode(payload, SignedEngineDesired)
        if signed.v != VERSION:
            raise MessageError(f"version {signed.v} is unknown here; upgrade this agent")
        if not self._verify(signed.signature, signed.desired):
            raise MessageError("the signature is not of the centre's key (setting centre_key)")
        return decode(signed.desired, EngineDesired)

    def _hold(self, desired: EngineDesired) -> None:
        self._ordinal = desired.ordinal
        self._engines = {engine.serial: engine for engine in desired.engines}

    def _remember(self) -> None:
        """Take up what an agent before this one has kept, unless the settings have another key or name by now."""
        ordinal, payload = self._outbox.desired()
        if not ordinal or self._verify is None:
            return
        try:
            self._hold(self._ours(payload))
        except MessageError as error:
            log.warning("engines_desired_forgotten", reason=str(error))

    def _warn_of_others(self, installed: Iterable[str]) -> None:
        strangers = sorted(self._watched.difference(installed))
        if strangers:
            reason = "the centre knows them not at this gateway and sets their records aside; enter their installation"
            log.warning("engines_not_installed_here", engines=strangers, reason=reason)
