"""The documentation page, with everything it needs: it loads nothing from anywhere else.

The browser is told so too: the policy header allows scripts, data and images of this service only.
Styles may be inline, because the page's component writes its own into the page.
"""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent.parent / "static"

POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

router = APIRouter(include_in_schema=False)
files = StaticFiles(directory=STATIC)


@router.get("/docs")
async def docs() -> FileResponse:
    """Every route, its records and its limits, with a form to try them."""
    return FileResponse(STATIC / "docs.html", headers={"Content-Security-Policy": POLICY})
