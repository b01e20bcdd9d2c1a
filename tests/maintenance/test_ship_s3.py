"""Ship to an S3 server through a network that fails: nothing is lost, nothing is stored twice, every receipt is true."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_logging import LLMFileHandler
from llm_logging.errors import FileSystemError
from llm_logging.files.objects import open_store
from llm_logging.maintenance.ship import Shipper, seal_all
from tests.maintenance.fleet import assert_shipped_once, in_a_child, log_requests, objects
from tests.object_stores import FAULTS, FaultyProxy, environment, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with s3_server() as port, environment(f"http://127.0.0.1:{port}"):
        yield port


def test_each_segment_is_stored_once(root: Path, server: int) -> None:
    log_requests(root, 60)
    log_requests(root, 20, project="ünï/../code", start=60)
    store = open_store("s3://bucket/once")
    assert Shipper(root, store).run().problems == []
    assert_shipped_once(root, store)
    before = objects(store, ".gz")
    assert Shipper(root, store).run().shipped == []
    seal_all(root)
    assert Shipper(root, store).run().waiting_lines == 0
    assert_shipped_once(root, store)
    assert objects(store, ".gz").keys() > before.keys()


def ship_until_done(shipper: Shipper, most: int = 200) -> int:
    """Ship as `--watch` does: again after every failure; return how often it failed."""
    for failures in range(most):
        try:
            shipper.run()
        except FileSystemError:
            continue
        return failures
    raise AssertionError("the store failed too often")


@pytest.mark.parametrize("kind", FAULTS)
def test_one_request_of_five_fails(root: Path, server: int, kind: str) -> None:
    log_requests(root, 60)
    name = f"s3://bucket/{kind.replace(' ', '-')}"
    proxy = FaultyProxy(server, kinds=(kind,))
    with proxy.running() as endpoint, environment(endpoint):
        ship_until_done(Shipper(root, open_store(name)))
    assert proxy.met[kind] >= 3
    assert_shipped_once(root, open_store(name))


def test_two_shippers_at_once_through_a_network_that_fails(root: Path, server: int) -> None:
    log_requests(root, 150)
    store = open_store("s3://bucket/two")
    proxies = [FaultyProxy(server, seed=seed) for seed in (7, 8)]
    for proxy in proxies:
        with proxy.running() as endpoint, environment(endpoint):
            shippers = [Shipper(root, open_store("s3://bucket/two")) for _ in range(2)]
            threads = [threading.Thread(target=ship_until_done, args=(shipper,)) for shipper in shippers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        log_requests(root, 50, start=1000)
    Shipper(root, store).run()
    assert_shipped_once(root, store)
    assert sum(sum(proxy.met.values()) for proxy in proxies) > 10


def test_a_child_of_a_process_that_ships_leaves_its_segments_to_it(root: Path, server: int) -> None:
    store = open_store("s3://bucket/forked")
    logger = logging.getLogger("ship.forked")
    logger.propagate = False
    handler = LLMFileHandler(root, max_bytes=2000, ship="s3://bucket/forked")
    logger.addHandler(handler)
    try:
        write(logger, 20)
        wait_until(lambda: objects(store, ".gz") != {})
        # The threads of the package for object stores are not in the child, where a call would never return.
        in_a_child(lambda: (write(logger, 20), handler.close()))
        write(logger, 20)
        handler.flush()
        wait_until(lambda: len(objects(store, ".gz")) >= len(list(root.rglob("system.2*"))))
    finally:
        logger.removeHandler(handler)
        handler.close()
    Shipper(root, store).run()
    assert_shipped_once(root, store)


def write(logger: logging.Logger, count: int) -> None:
    for number in range(count):
        logger.warning("m%d %s", number, "x" * 100)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
