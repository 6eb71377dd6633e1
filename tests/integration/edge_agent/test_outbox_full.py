"""A full outbox and a full disk: what is given up, in which order, how the centre learns of it; work goes on."""

import os
import subprocess
import sys
from collections import Counter
from itertools import chain

import pytest

from edge_agent.outbox import Outbox, OutboxError
from edge_agent.outbox.file import LOG_BYTES
from edge_agent.outbox.sacrifice import GAP_MAX_RANGES
from edge_agent.ports import RefusedRow
from edge_agent.settings import OutboxSettings
from shared.messages import Ack, Gap, Quarantined, decode_record

LAST = 2**62
BODY = b"x" * 1000
SMALL = OutboxSettings(max_bytes=2**20, history_max_bytes=2**18)
MIB = 2**20
PAGE = 4096


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def make(path):
    made = []

    def make(settings=SMALL, path=path, **options):
        made.append(Outbox(path, settings=settings, **options))
        return made[-1]

    yield make
    for outbox in made:
        outbox.close()


def held(outbox):
    return {stored.seq: stored.body for stored in outbox.waiting(1, LAST, limit=100_000, at=0.0)}


def counted(outbox):
    file = outbox._file
    return {name: file.one(f"SELECT count(*) FROM {name}") for name in ("history", "telemetry", "prediction", "gap")}


def fill(outbox, until, *, rows=1):
    """Accept rows until a condition holds."""
    for _ in range(20_000):
        outbox.accept([BODY] * rows, [BODY] * rows)
        if until(outbox):
            return
    raise AssertionError("never came")


def gaps(outbox):
    """Every gap record, as delivery gets them by asking as long as there are more."""
    while outbox._file.rows("SELECT first FROM dropped_range LIMIT 1"):
        held(outbox)
    return sealed(outbox)


def sealed(outbox):
    found = [decode_record(body) for body in held(outbox).values() if body.startswith(b'{"kind":"gap"')]
    assert all(isinstance(gap, Gap) for gap in found)
    return found


def seqs_of(gaps):
    return [seq for gap in gaps for first, last in gap.ranges for seq in range(first, last + 1)]


def test_p4_acked_history_goes_first_then_the_oldest_telemetry_and_predictions_last(make):
    outbox = make()
    outbox.accept([BODY] * 100, [BODY] * 100)
    outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(1, 200)]), at=0.0)
    fill(outbox, lambda outbox: counted(outbox)["history"] < 200)
    assert outbox.status().dropped == 0
    fill(outbox, lambda outbox: outbox.status().dropped > 0)
    assert counted(outbox)["history"] == 0
    first_dropped = outbox._file.one("SELECT min(first) FROM dropped_range")
    assert first_dropped == 201  # the oldest unacked telemetry
    assert counted(outbox)["prediction"] == (outbox.next_seq - 201) // 2


def test_p4_predictions_are_given_up_only_when_no_older_telemetry_is_left(make):
    outbox = make()
    fill(outbox, lambda outbox: outbox.status().dropped > 0)
    before = counted(outbox)["prediction"]
    outbox.accept([], [BODY] * 200)
    assert counted(outbox)["prediction"] == before + 200
    for _ in range(4):
        outbox.accept([], [BODY] * 200)
    assert counted(outbox)["telemetry"] == 0
    assert len(held(outbox)) == outbox.status().unacked


def test_p4_every_dropped_record_is_in_one_gap_that_is_sent_like_any_other(make):
    outbox = make()
    fill(outbox, lambda outbox: outbox.status().dropped >= 400, rows=64)
    accepted = outbox.next_seq - 1
    [gap] = gaps(outbox)
    told = seqs_of([gap])
    assert len(told) == outbox.status().dropped
    assert sorted([*told, *held(outbox)]) == list(range(1, accepted + 2))
    assert "dropped by policy" in gap.reason
    assert held(outbox)[accepted + 1].startswith(b'{"kind":"gap"')


def test_an_outage_of_any_length_ends_in_few_gap_records(make):
    outbox = make()
    fill(outbox, lambda outbox: outbox.status().dropped >= 5000)
    ranges = outbox._file.one("SELECT count(*) FROM dropped_range")
    # What is older than the oldest prediction that is left is one range.
    assert ranges <= counted(outbox)["prediction"] + 1
    seqs_before = outbox.next_seq
    held(outbox)
    assert outbox.next_seq == seqs_before + 1


def test_a_gap_record_has_a_bounded_number_of_ranges_and_the_rest_follows_in_the_next(make):
    outbox = make(OutboxSettings(max_bytes=4 * MIB))
    fill(outbox, lambda outbox: outbox._file.one("SELECT count(*) FROM dropped_range") > GAP_MAX_RANGES)
    told = len(seqs_of(sealed(outbox)))
    assert 0 < told < outbox.status().dropped
    assert max(len(gap.ranges) for gap in gaps(outbox)) <= GAP_MAX_RANGES
    assert len(seqs_of(gaps(outbox))) == outbox.status().dropped


def test_a_gap_survives_a_restart_and_is_freed_by_its_ack(make):
    outbox = make()
    fill(outbox, lambda outbox: outbox.status().dropped > 0, rows=64)
    outbox.close()
    again = make()
    [gap] = gaps(again)
    again.settle(Ack(stream_id=again.stream_id, committed=[(again.next_seq - 1, again.next_seq - 1)]), at=0.0)
    assert gaps(again) == []
    assert len(seqs_of([gap])) == again.status().dropped


def test_when_nothing_but_gap_records_is_left_they_are_joined(make):
    outbox = make()
    for _ in range(40):
        fill(outbox, lambda outbox: outbox._file.one("SELECT count(*) FROM dropped_range") > 100)
        held(outbox)
    assert counted(outbox)["gap"] >= 40
    accepted = outbox.next_seq - 1
    outbox.accept([b"y" * 600_000])
    assert counted(outbox) == {"history": 0, "telemetry": 1, "prediction": 0, "gap": 0}
    assert sorted([*seqs_of(gaps(outbox)), *held(outbox)]) == list(range(1, outbox.next_seq))
    assert outbox.next_seq >= accepted + 1


def test_a_step_that_can_never_fit_is_refused_and_costs_nothing(make):
    outbox = make()
    outbox.accept([BODY])
    with pytest.raises(OutboxError, match=r"outbox\.max_bytes"):
        outbox.accept([b"z" * (2 * MIB)])
    assert list(held(outbox).values()) == [BODY]


def test_dead_letters_and_refused_rows_are_given_up_before_records_and_counted(make):
    outbox = make()
    outbox.accept([BODY] * 20, refused=[RefusedRow(b"r" * 60_000, "noise")] * 10)
    quarantined = [Quarantined(seq=seq, reason="bad") for seq in range(1, 8)]
    outbox.settle(Ack(stream_id=outbox.stream_id, quarantined=quarantined), at=0.0)
    assert outbox.set_aside_given_up() == (0, 0)
    fill(outbox, lambda outbox: outbox._file.one("SELECT count(*) FROM refused_row") == 0)
    assert outbox.status().dropped == 0
    assert (outbox.refused_rows(), outbox.status().dead_letters) == (10, 7)
    assert outbox.set_aside_given_up() == (7, 10)


def test_of_what_is_set_aside_the_newest_are_kept_and_the_rest_is_counted(make):
    outbox = make(OutboxSettings(max_bytes=64 * MIB))
    for _ in range(6):
        outbox.accept([b"x"] * 2000, refused=[RefusedRow(b"r", "noise")] * 2000)
        quarantined = [Quarantined(seq=outbox.next_seq - n, reason="bad") for n in range(2000, 0, -1)]
        outbox.settle(Ack(stream_id=outbox.stream_id, quarantined=quarantined), at=0.0)
    file = outbox._file
    assert [file.one(f"SELECT count(*) FROM {table}") for table in ("dead_letter", "refused_row")] == [10_000, 10_000]
    assert outbox.set_aside_given_up() == (2000, 2000)


def test_the_file_stays_within_its_bound_however_long_the_centre_is_away(make, path):
    outbox = make()
    fill(outbox, lambda outbox: outbox.status().dropped >= 2000)
    outbox.close()
    assert path.stat().st_size <= SMALL.max_bytes


def test_the_file_shrinks_when_the_centre_has_taken_the_backlog(make, path):
    outbox = make(OutboxSettings(max_bytes=64 * MIB, history_max_bytes=MIB))
    for _ in range(60):
        outbox.accept([BODY] * 250, [BODY] * 250)
    last = outbox.next_seq - 1
    outbox._file.empty_log()
    assert path.stat().st_size > 25 * MIB
    for first in range(1, last, 500):
        outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(first, first + 499)]), at=0.0)
    assert outbox.status().size_bytes < 64 * MIB
    outbox.close()
    # History, a slack of free pages, and what is always there.
    assert path.stat().st_size < 4 * MIB


def test_the_log_stays_small_while_rows_come_and_go(make, path):
    outbox = make()
    for first in range(1, 20_000, 100):
        outbox.accept([BODY] * 50, [BODY] * 50)
        outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(first, first + 99)]), at=0.0)
    assert path.with_name("outbox.db-wal").stat().st_size <= 2 * LOG_BYTES


def acked_history(outbox, mebibytes, *, unacked=0):
    """Fill an outbox with records of which only the newest few wait for the centre; returns the last acked seq."""
    while outbox.status().used_bytes < mebibytes * MIB:
        outbox.accept([BODY[:450]] * 100, [BODY[:700]] * 100)
    last = outbox.next_seq - 1 - unacked
    for first in range(1, last + 1, 500):
        outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(first, min(last, first + 499))]), at=0.0)
    return last


def resend(outbox, *ranges):
    """Take everything back; returns what is not there."""
    return sorted(chain(*outbox.resend_slices(ranges)))


def test_p4_sending_again_what_was_acked_grows_neither_file_nor_log(make, path):
    outbox = make(OutboxSettings(max_bytes=64 * MIB, history_max_bytes=32 * MIB))
    last = acked_history(outbox, 12, unacked=100)
    outbox._file.empty_log()
    before = path.stat().st_size
    assert resend(outbox, (1, last)) == []
    assert outbox.status().unacked == last + 100
    assert path.with_name("outbox.db-wal").stat().st_size <= 1.75 * LOG_BYTES
    outbox._file.empty_log()
    assert path.stat().st_size < 1.35 * before


def test_p4_what_there_is_no_room_to_send_again_is_named_and_nothing_unacked_is_given_up_for_it(make):
    outbox = make(OutboxSettings(max_bytes=64 * MIB, history_max_bytes=32 * MIB))
    last = acked_history(outbox, 12, unacked=100)
    outbox.close()
    outbox = make(OutboxSettings(max_bytes=8 * MIB, history_max_bytes=32 * MIB))
    [(first, until)] = resend(outbox, (1, last))
    assert outbox._file.used_pages() * PAGE <= 8 * MIB
    assert first == 1
    assert outbox.status().unacked == 100 + last - until
    assert outbox.status().unacked > 8000
    fill(outbox, lambda outbox: outbox.status().dropped > 0)
    # What was taken back waits for the centre like any other record: what is given up of it is told.
    assert outbox._file.one("SELECT min(first) FROM dropped_range") == until + 1
    assert len(seqs_of(gaps(outbox))) == outbox.status().dropped


class Disk:
    """A small disk of its own, which only root can make."""

    def __init__(self, folder, size_bytes):
        self.folder = folder
        folder.mkdir()
        assert os.geteuid() == 0, "this test mounts a small tmpfs and so must run as root"
        subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", folder], check=True)

    def fill(self):
        """Somebody else takes everything that is left."""
        with (self.folder / "hog").open("ab", buffering=0) as file:
            for size in (MIB, 4096, 1):
                while True:
                    try:
                        if not file.write(b"h" * size):
                            break
                    except OSError:
                        break

    def fill_to(self, free_bytes):
        """Somebody else takes all but this much."""
        disk = os.statvfs(self.folder)
        with (self.folder / "hog").open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - free_bytes)

    def remount(self, mode):
        subprocess.run(["/bin/mount", "-o", f"remount,{mode}", self.folder], check=True)

    def relax(self):
        (self.folder / "hog").unlink()

    def unmount(self):
        subprocess.run(["/bin/umount", "-l", self.folder], check=True)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk", 64 * MIB)
    yield disk
    disk.unmount()


@pytest.fixture
def on_disk(disk):
    outbox = Outbox(disk.folder / "outbox.db", settings=OutboxSettings(disk_reserve_bytes=16 * MIB))
    yield outbox
    outbox.close()


def test_p4_a_reserve_of_disk_is_left_to_the_system(disk, on_disk):
    fill(on_disk, lambda outbox: outbox.status().dropped >= 500, rows=20)
    free = os.statvfs(disk.folder)
    # Less only by the log and by what was under way when the limit was reached.
    assert free.f_bavail * free.f_frsize > 16 * MIB - 2 * LOG_BYTES
    assert Counter(body == BODY for body in held(on_disk).values())[True] > 10_000


def test_p4_a_disk_that_somebody_else_fills_stops_nothing(disk, on_disk):
    fill(on_disk, lambda outbox: outbox.next_seq > 4000, rows=20)
    disk.fill()
    fill(on_disk, lambda outbox: outbox.next_seq > 60_000, rows=20)
    on_disk.settle(Ack(stream_id=on_disk.stream_id, committed=[(59_900, 59_909)]), at=0.0)
    dropped = on_disk.status().dropped
    assert dropped > 1000
    disk.relax()
    fill(on_disk, lambda outbox: outbox.next_seq > 64_000, rows=20)
    assert on_disk.status().dropped == dropped
    assert len(seqs_of(gaps(on_disk))) == dropped


def test_p4_sending_again_leaves_the_reserve_of_disk_to_the_system(disk):
    outbox = Outbox(disk.folder / "outbox.db", settings=OutboxSettings(disk_reserve_bytes=32 * MIB))
    last = acked_history(outbox, 12, unacked=100)
    outbox._file.empty_log()
    disk.fill_to(20 * MIB)
    gone = resend(outbox, (1, last))
    free = os.statvfs(disk.folder)
    assert free.f_bavail * free.f_frsize > 20 * MIB - 1.75 * LOG_BYTES
    assert outbox.status().unacked == last + 100 - sum(until - first + 1 for first, until in gone)
    outbox.close()


def test_an_agent_starts_on_a_full_disk(disk, on_disk):
    on_disk.accept([BODY] * 100)
    on_disk.close()
    disk.fill()
    again = Outbox(disk.folder / "outbox.db", settings=OutboxSettings(disk_reserve_bytes=16 * MIB))
    assert again.begin_session().counter == 1
    again.accept([BODY])
    assert again.status().unacked == 101
    again.close()


def test_a_file_that_may_not_be_written_for_now_is_left_as_it_is(disk, on_disk):
    """As after a disk that was mounted read-only, or a run as another user."""
    on_disk.accept([BODY] * 100)
    on_disk.close()
    disk.remount("ro")
    with pytest.raises(OutboxError, match=r"outbox\.db.*owner"):
        Outbox(disk.folder / "outbox.db").begin_session()
    disk.remount("rw")
    again = Outbox(disk.folder / "outbox.db")
    assert (again.status().unacked, again.status().damage) == (100, None)
    again.close()


def test_a_damaged_file_on_a_full_disk_is_replaced_once_there_is_room(disk, on_disk):
    on_disk.accept([BODY])
    (disk.folder / "outbox.db").unlink()
    disk.fill()
    (disk.folder / "outbox.db.reserve").unlink()
    disk.fill()
    for _ in range(5):
        with pytest.raises(OutboxError, match="full"):
            on_disk.accept([BODY])
    disk.relax()
    on_disk.accept([b"after"])
    assert list(held(on_disk).values()) == [b"after"]
    assert len(list(disk.folder.glob("*damaged*"))) == 1


def test_a_write_that_fails_is_reported_and_the_same_step_is_stored_later(path):
    """A file size limit makes write() fail as a failing disk does."""
    program = f"""
import resource
from pathlib import Path
from edge_agent.outbox import Outbox, OutboxError
outbox = Outbox(Path({str(path)!r}))
outbox.accept([b"a" * 1000])
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
failed = 0
for _ in range(300):
    try:
        outbox.accept([b"b" * 1000])
    except OutboxError as error:
        failed += 1
assert failed, "the limit never bit"
stored = outbox.next_seq - 1
assert stored + failed == 301
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
outbox.accept([b"c" * 1000])
assert outbox.next_seq == stored + 2
assert outbox.status().unacked == len(outbox.waiting(1, 2**62, limit=1000, at=0.0)) == stored + 1
assert outbox.status().dropped == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True)
