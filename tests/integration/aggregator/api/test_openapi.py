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


async def test_every_model_number_and_parameter_is_described(client):
    described = (await client.get("/api/openapi.json")).json()
    silent = []
    for name, model in described["components"]["schemas"].items():
        silent += [] if "description" in model else [name]
        silent += [f"{name}.{field}" for field, says in model.get("properties", {}).items() if _is_silent_number(says)]
    for path, operations in described["paths"].items():
        for operation in operations.values():
            asked = (str(parameter) for parameter in operation.get("parameters", []))
            silent += [f"{path}: {one}" for one in asked if "'description'" not in one and "$ref" not in one]
    assert silent == []


def _is_silent_number(says):
    spelt = str(says)
    return ("'number'" in spelt or "'integer'" in spelt) and "'description'" not in spelt


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
