"""Commands about the store: migrate, back up, restore and prune it."""

import argparse
from pathlib import Path

from aggregator.commands.parsers import Added, Commands, open_store_in_use
from aggregator.settings import AggregatorSettings
from shared.errors import SpoolwatchError


def add_to(commands: Commands) -> Added:
    """Add these commands."""
    migrate = commands.add_parser("migrate", help="bring the store to this version of the program, or an older one")
    migrate.add_argument(
        "--to",
        metavar="VERSION",
        default="head",
        help="version of the tables; an older one loses what it has no place for",
    )
    migrate.add_argument("--yes", action="store_true", help="go down to an older version, as was warned of")
    backup = commands.add_parser("backup", help="copy the store into a file, also while it is served")
    backup.add_argument("file", metavar="FILE", type=Path, help="a file that does not exist yet")
    restoring = commands.add_parser("restore", help="put a backup in the place of the store, while it is not served")
    restoring.add_argument("file", metavar="FILE", type=Path, help="what the command backup has written")
    epoch = commands.add_parser(
        "new-epoch", help="after a restore by other means: ask gateways for what the store lacks"
    )
    prune = commands.add_parser("prune", help="sum up and delete what is older than retention.* says, now")
    prune.add_argument("--dry-run", action="store_true", help="only count what would be deleted")
    missing = commands.add_parser("missing", help="list records that the store has not got and that will not come")
    return [
        *((migrate, _migrate), (backup, _backup), (restoring, _restore)),
        *((epoch, _new_epoch), (prune, _prune), (missing, _missing)),
    ]


def _migrate(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.database import open_store

    store = open_store(settings.store_url(), migrate=arguments.to, down=arguments.yes)
    print("the store is up to date" if arguments.to == "head" else f"the store is at version {arguments.to}")
    store.close()


def _backup(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.backup import back_up
    from aggregator.store.database import Store

    store = Store(settings.store_url())
    back_up(store, arguments.file)
    store.close()
    print(f"the store is backed up in {arguments.file}")


def _restore(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.backup import restore
    from aggregator.store.database import Store

    store = Store(settings.store_url())
    epoch = restore(store, arguments.file)
    store.close()
    print(f"the store is restored; its new epoch is {epoch}")


def _new_epoch(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.backup import in_use

    store = open_store_in_use(settings)
    with in_use(store, alone=True):
        print(f"the store's new epoch is {store.renew_epoch()}; start the aggregators again")
    store.close()


def _prune(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from datetime import UTC, datetime
    from uuid import uuid4

    from aggregator.store.retention import Retention, count_prunable, prune

    retention, now = Retention(**settings.retention.model_dump()), datetime.now(UTC)
    if not retention.cutoffs(now):
        raise SpoolwatchError(
            "everything is kept: say with --retention.telemetry-days or --retention.predictions-days for how long"
        )
    store = open_store_in_use(settings)
    if arguments.dry_run:
        pruned = count_prunable(store, retention, now)
    else:
        pruned = prune(store, retention, str(uuid4()), lambda: datetime.now(UTC))
    for table, cutoff in retention.cutoffs(now).items():
        would = "would be pruned" if arguments.dry_run else "pruned"
        print(f"{table}: {pruned[table]} records received before {cutoff:%Y-%m-%dT%H:%M:%SZ} {would}")
    store.close()


def _missing(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.reads.missing import list_missing

    store = open_store_in_use(settings)
    with store.session() as session:
        for one in list_missing(session, None):
            print(f"{one.gateway}\t{one.stream_id}\t{one.first_seq}\t{one.last_seq}\t{one.reason}")
    store.close()
