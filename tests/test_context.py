"""Scopes: where they reach and where they end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from llm_logging.context import current_scope, scope, suppressed, suppressing


def test_inner_scopes_add_to_outer_ones_and_win_and_end() -> None:
    with scope(project_id="shop", user_id="u") as outer:
        with scope(user_id="v", chat_id="c"):
            assert dict(current_scope()) == {"project_id": "shop", "user_id": "v", "chat_id": "c"}
        assert dict(current_scope()) == dict(outer) == {"project_id": "shop", "user_id": "u"}
    assert dict(current_scope()) == {}


def test_none_takes_nothing_away() -> None:
    with scope(project_id="shop"), scope(project_id=None, chat_id="c"):
        assert dict(current_scope()) == {"project_id": "shop", "chat_id": "c"}


def test_a_scope_ends_when_an_exception_leaves_it_and_can_be_used_again() -> None:
    reused = scope(project_id="shop")
    for _ in range(2):
        with pytest.raises(RuntimeError), reused, reused:
            raise RuntimeError
        assert dict(current_scope()) == {}


def test_nobody_can_change_what_is_bound() -> None:
    with scope(a=1) as bound, pytest.raises(TypeError):
        bound["a"] = 2  # type: ignore[index]


def test_it_reaches_tasks_and_threads_of_asyncio_and_each_task_has_its_own() -> None:
    async def look() -> dict[str, object]:
        await asyncio.sleep(0)
        return dict(current_scope())

    async def own(n: int) -> tuple[object, object, object]:
        async with scope(chat_id=n):
            return (
                await look(),
                await asyncio.create_task(look()),
                await asyncio.to_thread(lambda: dict(current_scope())),
            )

    async def main() -> None:
        with scope(project_id="shop"):
            for n, seen in enumerate(await asyncio.gather(*(own(n) for n in range(5)))):
                assert seen == ({"project_id": "shop", "chat_id": n},) * 3
            assert await look() == {"project_id": "shop"}

    asyncio.run(main())


def test_a_plain_thread_starts_empty_and_wrap_carries_the_scope_of_its_moment() -> None:
    seen: dict[str, object] = {}

    def look(name: str) -> None:
        seen[name] = dict(current_scope())

    with scope(project_id="shop"):
        carried = scope.wrap(look)
        threads = [
            threading.Thread(target=look, args=("plain",)),
            threading.Thread(target=carried, args=("carried",)),
        ]
    for thread in threads:
        thread.start()
        thread.join()
    assert seen == {"plain": {}, "carried": {"project_id": "shop"}}


def test_a_pool_gets_the_scope_of_each_call_and_keeps_none() -> None:
    with ThreadPoolExecutor(1) as pool:
        for n in range(3):
            with scope(chat_id=n):
                assert pool.submit(scope.wrap(lambda: dict(current_scope()))).result() == {"chat_id": n}
        assert pool.submit(lambda: dict(current_scope())).result() == {}


def test_as_a_decorator_it_binds_for_every_call_and_keeps_coroutines() -> None:
    @scope(project_id="shop")
    def plain(n: int) -> tuple[int, dict[str, object]]:
        """Say where it is."""
        return n, dict(current_scope())

    @scope(project_id="shop")
    async def waiting() -> dict[str, object]:
        await asyncio.sleep(0)
        return dict(current_scope())

    assert plain(1) == (1, {"project_id": "shop"})
    assert plain.__doc__ == "Say where it is."
    assert asyncio.iscoroutinefunction(waiting)
    assert asyncio.run(waiting()) == {"project_id": "shop"}
    assert dict(current_scope()) == {}


def test_a_generator_that_is_finished_elsewhere_takes_nothing_back() -> None:
    def stream() -> Iterator[int]:
        with scope(chat_id="c"):
            yield 1

    generator = stream()
    contextvars.copy_context().run(next, generator)
    generator.close()
    assert dict(current_scope()) == {}


def test_suppression_ends_with_its_block() -> None:
    assert not suppressed()
    with suppressing():
        assert suppressed()
        with suppressing():
            pass
        assert suppressed()
    assert not suppressed()
