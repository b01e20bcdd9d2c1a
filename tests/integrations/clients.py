"""Clients of the HTTP libraries that are installed."""

import pytest

from llm_logging.integrations.httpx import LoggedTransport

libraries = pytest.mark.parametrize("library", ["httpx", "httpx2"])


def module(name):
    return pytest.importorskip(name, reason=f"{name} is not installed")


def client(library, log, server, **options):
    inner = module(library)
    options.setdefault("provider", "openai")
    return inner.Client(
        transport=LoggedTransport(inner.HTTPTransport(), log=log, **options), base_url=server.url
    )


def aclient(library, log, server, **options):
    inner = module(library)
    options.setdefault("provider", "openai")
    return inner.AsyncClient(
        transport=LoggedTransport(inner.AsyncHTTPTransport(), log=log, **options), base_url=server.url
    )
