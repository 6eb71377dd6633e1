"""The OpenAPI description in docs/ is what the API says of itself, and the docs page needs no other host."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_the_description_in_docs_is_current(tmp_path):
    subprocess.run([sys.executable, "-m", "aggregator.api.openapi", tmp_path / "now.json"], check=True)
    written = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")
    advice = "run: .venv/bin/python -m aggregator.api.openapi docs/openapi.json"
    assert written == (tmp_path / "now.json").read_text(encoding="utf-8"), advice


async def test_the_docs_page_takes_everything_from_this_server(client):
    page = (await client.get("/api/docs")).text
    assets = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert len(assets) == 3
    for asset in assets:
        assert asset.startswith("/api/docs/assets/")
        assert (await client.get(asset)).status_code == 200
    assert "://" not in page


async def test_the_description_is_served(client):
    assert (await client.get("/api/openapi.json")).json()["openapi"].startswith("3.1")
