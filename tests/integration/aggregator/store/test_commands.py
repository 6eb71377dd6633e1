"""What is kept of the commands that people send to gateways."""

from sqlalchemy import func, select

from aggregator.store import commands
from aggregator.store.commands import KEPT, forget_old, issue
from aggregator.store.reads.gateways import find_gateway
from aggregator.store.tables import AuditEntry, GatewayCommand, core
from shared.messages import RestartSource


def test_commands_are_forgotten_in_their_time_and_the_audit_log_is_not(store, recorder, clock, monkeypatch):
    monkeypatch.setattr(commands, "FORGOTTEN_AT_ONCE", 2)
    recorder.register("E-1", gateway="gw-1")
    with store.session() as session:
        gateway, _ = find_gateway(session, "gw-1")
    sent = []
    for _ in range(6):
        clock.advance(60)
        sent.append(issue(store, gateway, RestartSource(), clock(), clock.in_(60)).command_id)
    clock.advance(KEPT.total_seconds() - 30)
    assert (forget_old(store, clock()), forget_old(store, clock())) == (5, 0)
    ids, action = core(GatewayCommand).c.id, core(AuditEntry).c.action
    with store.engine.connect() as connection:
        assert list(connection.scalars(select(ids))) == sent[-1:]
        noted = select(func.count()).where(action == "gateway.command")
        assert connection.scalar(noted) == 6
