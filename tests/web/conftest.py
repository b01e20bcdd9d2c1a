"""Roots that the tests of the web read."""

import pytest

from tests.cli.logged import make_root
from tests.web.builders import hostile_root


@pytest.fixture(scope="session")
def logged(tmp_path_factory):
    """A root with 30 requests; tests only read it."""
    return make_root(tmp_path_factory.mktemp("logged") / "root")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """A root whose every name is an attack."""
    return hostile_root(tmp_path_factory.mktemp("hostile") / "root")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep the user's cache folder out of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "web cache"))
