"""How full the outbox is, and for how many hours it will do at the present rate."""

from edge_agent.outbox.file import OutboxFile
from edge_agent.settings import OutboxSettings
from shared.messages import OutboxStatus

_PAGE_FILL = 0.8


def fill_level(file: OutboxFile, settings: OutboxSettings, records_per_s: float, bytes_per_s: float) -> OutboxStatus:
    """The fill level, and the hours left at a rate; acked history counts as room, for it is given up first."""
    unacked, dead_letters, dropped, history_bytes, damage = file.rows(
        "SELECT unacked, dead_letters, dropped, history_bytes, damage FROM head"
    )[0]
    occupied = file.used_pages() * file.page_bytes
    on_disk = file.free_pages() * file.page_bytes + max(0, file.disk_free_bytes() - settings.disk_reserve_bytes)
    capacity_bytes = min(settings.max_bytes, occupied + on_disk)
    used_bytes = max(0, occupied - int(history_bytes / _PAGE_FILL))
    return OutboxStatus(
        unacked=unacked,
        dead_letters=dead_letters,
        dropped=dropped,
        size_bytes=file.size_bytes(),
        capacity_bytes=capacity_bytes,
        used_bytes=used_bytes,
        history_bytes=history_bytes,
        accepted_per_s=round(records_per_s, 3),
        hours_left=_hours(max(0, capacity_bytes - used_bytes), bytes_per_s),
        damage=damage,
    )


def _hours(room_bytes: int, bytes_per_s: float) -> float | None:
    return round(room_bytes * _PAGE_FILL / bytes_per_s / 3600, 2) if bytes_per_s else None
