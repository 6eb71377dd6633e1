"""The centre's tables, portable between SQLite and PostgreSQL; ``migrations/`` creates them."""

from aggregator.store.tables.alarms import Alarm, AlarmChange, AlarmRule
from aggregator.store.tables.base import BigInt, Changing, NullableJson, Table, UtcDateTime, core
from aggregator.store.tables.commands import GatewayCommand
from aggregator.store.tables.delivery import GapRecord, MissingRange, Quarantine, Receipt, Stream
from aggregator.store.tables.desired import GatewayDesired, Overhaul
from aggregator.store.tables.enrolment import EnrolmentToken, GatewayCertificate
from aggregator.store.tables.fleet import Engine, EngineStatus, Gateway, Installation
from aggregator.store.tables.notifications import Notification, Receiver
from aggregator.store.tables.people import ApiKey, AuditEntry, Login, Person
from aggregator.store.tables.records import CurrentState, Model, Prediction, Telemetry
from aggregator.store.tables.repeats import KeyedRequest
from aggregator.store.tables.samples import FetchedSamples
from aggregator.store.tables.upkeep import DayRollUp, Lease, StoreFact, TakenCycles
from aggregator.store.tables.work import EndedLife, LifeScore, WorkOrder, WorkOrderChange

__all__ = [
    "Alarm",
    "AlarmChange",
    "AlarmRule",
    "ApiKey",
    "AuditEntry",
    "BigInt",
    "Changing",
    "CurrentState",
    "DayRollUp",
    "EndedLife",
    "Engine",
    "EngineStatus",
    "EnrolmentToken",
    "FetchedSamples",
    "GapRecord",
    "Gateway",
    "GatewayCertificate",
    "GatewayCommand",
    "GatewayDesired",
    "Installation",
    "KeyedRequest",
    "Lease",
    "LifeScore",
    "Login",
    "MissingRange",
    "Model",
    "Notification",
    "NullableJson",
    "Overhaul",
    "Person",
    "Prediction",
    "Quarantine",
    "Receipt",
    "Receiver",
    "StoreFact",
    "Stream",
    "Table",
    "TakenCycles",
    "Telemetry",
    "UtcDateTime",
    "WorkOrder",
    "WorkOrderChange",
    "core",
]
