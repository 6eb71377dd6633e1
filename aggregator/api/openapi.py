"""Writes the OpenAPI description of the API: ``python -m aggregator.api.openapi docs/openapi.json``."""

import json
import sys
from pathlib import Path

from aggregator.api.app import create_app
from aggregator.ingest.status import IngestStatus
from aggregator.store.database import Store


def describe() -> str:
    """The description as it is kept in docs/."""
    app = create_app(Store("sqlite:///never-opened.db"), IngestStatus())
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(describe(), encoding="utf-8")
