"""The page at /docs works without the internet: all that it names is here, and its policy lets in nothing else."""

import re
from html.parser import HTMLParser

import httpx
import pytest

from tests.integration.api.problems import problem_of


class Addresses(HTMLParser):
    """What a page loads, and whether there is script in the page itself."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.has_inline_script = False
        self._in_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attributes if name in {"src", "href"}]
        self.has_inline_script |= any(name.startswith("on") for name, _ in attributes)
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        self.has_inline_script |= self._in_script and bool(data.strip())


async def test_all_that_the_page_loads_is_here(anonymous: httpx.AsyncClient) -> None:
    page = await anonymous.get("/docs")
    addresses = Addresses(page.text)

    assert 200 == page.status_code
    assert not addresses.has_inline_script
    assert len(addresses.found) >= 4
    for address in addresses.found:
        assert re.fullmatch(r"docs/[\w.-]+", address)
        answer = await anonymous.get(f"/{address}")
        assert 200 == answer.status_code, address
        assert answer.content
        assert answer.headers["content-security-policy"] == page.headers["content-security-policy"]
    assert "openapi.json" in (await anonymous.get("/docs/start.js")).text


async def test_the_policy_names_no_host_and_lets_no_script_stand_in_the_page(anonymous: httpx.AsyncClient) -> None:
    policy = (await anonymous.get("/docs")).headers["content-security-policy"]
    directives = {part.split()[0]: part.split()[1:] for part in policy.split(";")}

    assert ["'self'"] == directives["default-src"]
    assert "script-src" not in directives
    assert {"'self'", "'none'", "'unsafe-inline'", "data:"} >= {
        source for each in directives.values() for source in each
    }
    assert "'unsafe-inline'" not in directives["default-src"]


@pytest.mark.parametrize("name", ["main.py", "__init__.py", "..%2Fmain.py", "none.js", "start.js%00", "a/b"])
async def test_nothing_else_is_served(anonymous: httpx.AsyncClient, name: str) -> None:
    problem_of(await anonymous.get(f"/docs/{name}"), status=404, code="request.no_such_path")


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect"])
async def test_there_is_no_page_that_needs_the_internet(anonymous: httpx.AsyncClient, path: str) -> None:
    problem_of(await anonymous.get(path), status=404, code="request.no_such_path")
