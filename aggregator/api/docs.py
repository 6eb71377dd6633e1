"""Serves the interactive docs from this machine: swagger-ui comes as a package, nothing from a CDN."""

from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from aggregator.api.deps import Needs

ASSETS = "/api/docs/assets"
DESCRIPTION = "/api/openapi.json"


def serve(app: FastAPI) -> None:
    """Add the docs page and its assets to an app."""
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]))

    @app.get(DESCRIPTION, include_in_schema=False, dependencies=[Depends(Needs(None))])
    async def read_description() -> dict[str, Any]:
        return app.openapi()

    @app.get("/api/docs", include_in_schema=False, dependencies=[Depends(Needs(None))])
    async def show_docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=DESCRIPTION,
            title=f"{app.title} API",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon-32x32.png",
        )
