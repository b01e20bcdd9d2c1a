"""What is not known is never 0: every sum above an unknown cost is a lower bound, and says why."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_logging.models.stats import StatsOptions
from llm_logging.presentation.numbers import cost as cost_text
from llm_logging.reader.cache import store
from llm_logging.reader.compare import compare_stats
from llm_logging.reader.export import export_requests
from llm_logging.reader.price_report import get_prices
from llm_logging.reader.sql import percentiles as spread
from llm_logging.reader.stats import get_project_metrics, get_stats

GPT, CLAUDE = ("openai", "gpt-4o"), ("anthropic", "claude-opus-4-8")
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 100}


def case(product, known, reason, **fields):
    """Return a request, what of its cost is known, and what is not."""
    provider, model = product
    return {"provider": provider, "model": model, "status": "success", **fields}, known, reason


def failed(known, reason, **fields):
    return case(GPT, known, reason, **{"status": "error", **fields})


CASES = [
    case(GPT, "0.0035", None, usage=TOKENS),
    case(GPT, "0.0035", None, usage=TOKENS, service_tier="DEFAULT"),
    case(GPT, "0.0035", None, usage=TOKENS, status="error", http_status=500),
    case(("vertex_ai", "gemini-2.5-flash"), "0.00055", None, usage=TOKENS, service_tier="ON_DEMAND"),
    case(("groq", "llama-3.3-70b-versatile"), "0.000669", None, usage=TOKENS, service_tier="on_demand"),
    case(("openai", "text-embedding-3-small"), "0.00002", None, usage={"prompt_tokens": 1000}),
    case(CLAUDE, "0.015", None, usage={**TOKENS, "speed": "fast"}),
    case(CLAUDE, "0.0375", None, usage={**TOKENS, "units": {"web_searches": 3}}),
    case(CLAUDE, "0.00375", None, usage=TOKENS, service_tier="batch"),
    case(("openai", "whisper-1"), "0.006", None, usage={"units": {"audio_seconds": 60}}),
    case(("openai", "tts-1"), "0.015", None, usage={"units": {"input_characters": 1000}}),
    case(("mistral", "mistral-ocr-latest"), "0.04", None, usage={"units": {"input_document_pages": 10}}),
    # Nothing at all is known.
    case(GPT, None, "no token counts"),
    case(GPT, None, "no token counts", usage={"source": "provider"}),
    case(("x", "house-1"), None, "model", usage=TOKENS),
    case(GPT, None, "service tier scale", usage=TOKENS, service_tier="scale"),
    case(("vertex_ai", "gemini-2.5-flash"), None, "service tier provisioned_throughput", usage=TOKENS,
         service_tier="PROVISIONED_THROUGHPUT"),
    case(("bedrock", "amazon.nova-lite-v1:0"), None, "service tier priority", usage=TOKENS, service_tier="priority"),
    case(("azure", "gpt-4o"), None, "service tier flex", usage=TOKENS, service_tier="flex"),
    case(CLAUDE, None, "service tier priority", usage=TOKENS, service_tier="priority"),
    case(CLAUDE, None, "service tier batch, speed fast", usage={**TOKENS, "speed": "fast"}, service_tier="batch"),
    case(GPT, None, "speed optimized", usage={**TOKENS, "speed": "optimized"}),
    case(("openai", "whisper-1"), None, "audio_seconds", usage=TOKENS),
    case(("openai", "ft:gpt-4o:acme::9"), None, "model", usage=TOKENS),
    # A part is.
    case(GPT, "0.0035", "code_executions", usage={**TOKENS, "units": {"code_executions": 1}}),
    case(GPT, "0.0025", "completion_tokens", usage={"prompt_tokens": 1000}),
    case(GPT, "0.001", "prompt_tokens", usage={"completion_tokens": 100}),
    case(GPT, "0.0035", "partial token counts", usage={**TOKENS, "source": "partial"}),
    case(("openai", "gpt-4o-audio-preview"), "0.00325", "audio_prompt_tokens",
         usage={**TOKENS, "audio_prompt_tokens": 100}),
    case(GPT, "0.0026", "image_completion_tokens", usage={**TOKENS, "image_completion_tokens": 90}),
    # Failures: of those that the provider refused, or that never reached it, nothing was spent.
    failed(None, None, http_status=429),
    failed(None, None, http_status=401),
    failed(None, None, http_status=529),
    failed(None, None, error={"code": "429"}),
    failed(None, None, error={"code": "x", "type": "RateLimitError"}),
    failed(None, None, error={"type": "rate_limit_error"}),
    failed(None, None, error={"code": "connection_error", "type": "ConnectError"}),
    failed(None, None, status="timeout", error={"code": "timeout", "type": "ConnectTimeout"}),
    failed(None, "no token counts", status="timeout", error={"code": "timeout", "type": "ReadTimeout"}),
    failed(None, "no token counts", error={"code": "cancelled"}),
    failed(None, "no token counts", http_status=504),
    failed(None, "no token counts", http_status=502),
    failed(None, "no token counts", error={"code": "connection_error", "type": "ReadError"}),
    failed(None, "no token counts", http_status=429, timings={"time_to_first_token_ms": 20}),
    failed(None, "no token counts", error={"type": "ValueError"}),
    # What the provider reported is known, whatever else is not.
    case(GPT, None, None, cost={"amount": "0.25"}),
    case(("x", "house-1"), None, None, cost={"amount": "0.25"}, usage={**TOKENS, "source": "partial"}),
    case(GPT, None, None, status="pending"),
]  # fmt: skip


def write(path, cases):
    with path.open("w") as file:
        for number, (fields, _, _) in enumerate(cases):
            line = {
                "v": 1, "timestamp": "2026-11-20T10:00:00.000000Z", "timestamp_start": "2026-11-20T10:00:00.000000Z",
                "event_type": "llm_request", "id": f"00000000-0000-4000-8000-{number:012d}", "project_id": "p",
                "chat_id": f"c{number % 3}", **fields,
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")


def expected(cases):
    """Return estimated cost, reported cost and how many are not known, as plain sums say them."""
    known = [Decimal(cost) for _, cost, _ in cases if cost is not None]
    reported = [Decimal(fields["cost"]["amount"]) for fields, _, _ in cases if "cost" in fields]
    unknown = sum(reason is not None for _, _, reason in cases)
    estimated = sum(known) if known else None if unknown else Decimal(0)
    return estimated, sum(reported) if reported else None, unknown


def assert_agrees(figures, cases):
    estimated, reported, unknown = expected(cases)
    got = figures.estimated_cost, figures.reported_cost, figures.total_cost
    total = None if estimated is None and reported is None else (estimated or 0) + (reported or 0)
    assert [None if value is None else Decimal(value) for value in got] == [estimated, reported, total]
    assert figures.unpriced_requests == unknown
    assert figures.priced_requests == sum(c is not None and reason is None for _, c, reason in cases)
    text = cost_text(figures)
    assert (text == "–") == (total is None)  # noqa: RUF001
    assert ("≥" in text or ">0" in text) == (unknown > 0 and total is not None)


@pytest.mark.parametrize(
    "one", CASES, ids=lambda one: f"{one[0]['model']} {one[2]} {one[0].get('service_tier', '')}"
)
def test_each_kind_of_request_costs_what_is_known_of_it(tmp_path, one):
    write(tmp_path / "log.jsonl", [one])
    stats = get_stats(files=tmp_path / "log.jsonl", cache=False)
    assert_agrees(stats.summary, [one])
    assert stats.quality.unpriced_reasons == ({one[2]: 1} if one[2] else {})


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(CASES), max_size=12))
def test_every_answer_says_the_same_of_what_is_unknown(tmp_path_factory, cases):
    path = tmp_path_factory.mktemp("unknown") / "log.jsonl"
    write(path, cases)
    stats = get_stats(None, StatsOptions(group_by="chat"), files=path, cache=False)
    assert_agrees(stats.summary, cases)
    chats, models = defaultdict(list), defaultdict(list)
    for number, one in enumerate(cases):
        chats[f"c{number % 3}"].append(one)
        models[one[0]["model"]].append(one)
    for row in stats.breakdown:
        assert_agrees(row, chats[row.group["chat"]])
    for model, figures in stats.models.items():
        assert_agrees(figures, models[model])
    assert stats.quality.unpriced_reasons == Counter(reason for _, _, reason in cases if reason)
    uses = get_prices(files=path, cache=False).uses
    assert sum(use.requests for use in uses if use.unpriced) == stats.summary.unpriced_requests
    costs = [Decimal(use.cost) for use in uses if use.cost is not None and use.source != "reported"]
    assert sum(costs) == (expected(cases)[0] or 0)
    with export_requests(files=path, cache=False) as export:
        for row in export.rows():
            _, known, reason = cases[int(row["id"][-12:])]
            assert row["unpriced"] == reason
            whole = known is not None and reason is None
            assert (row["estimated_cost"] or None) == (Decimal(known) if whole else None)


def test_no_requests_cost_nothing(tmp_path):
    (tmp_path / "log.jsonl").touch()
    assert_agrees(get_stats(files=tmp_path / "log.jsonl", cache=False).summary, [])


def test_kept_sums_and_a_project_say_the_same(tmp_path, monkeypatch):
    logs = tmp_path / "projects" / "p" / "logs"
    logs.mkdir(parents=True)
    cases = [one for one in CASES if one[0]["status"] != "pending"]
    write(logs / "llm_requests.jsonl", cases)
    reading = {"root": tmp_path, "cache_dir": tmp_path / "cache"}
    for _ in range(2):
        assert_agrees(get_project_metrics("p", **reading), cases)
    both = [StatsOptions(from_date=day, to_date=day) for day in ("2026-11-19", "2026-11-20")]
    change = compare_stats(None, *both, **reading).summary["estimated_cost"]
    assert (change.before, Decimal(change.after)) == ("0", expected(cases)[0])


def test_an_answer_of_another_version_is_not_taken(tmp_path, monkeypatch):
    """An upgrade may read the same bytes otherwise: no file in the cache has the key of another version."""
    logs = tmp_path / "projects" / "p" / "logs"
    logs.mkdir(parents=True)
    write(logs / "llm_requests.jsonl", CASES[:1])

    def names():
        store.schema_tag.cache_clear()
        get_stats(None, StatsOptions(group_by="day"), root=tmp_path, cache_dir=tmp_path / "cache")
        found = (
            path.relative_to(tmp_path / "cache") for path in (tmp_path / "cache").rglob("*") if path.is_file()
        )
        return {str(path) for path in found}

    before = names()
    assert names() == before
    monkeypatch.setattr(store, "package_tag", lambda: "9.9.9")
    try:
        new = names() - before
        kinds = {"answers", "rates"}
        assert {kind for kind in kinds if any(kind in name for name in before)} == kinds
        assert {kind for kind in kinds if any(kind in name for name in new)} == kinds
    finally:
        store.schema_tag.cache_clear()


@given(
    st.lists(st.floats(0, 1e7) | st.integers(0, 50).map(float), min_size=1, max_size=60), st.integers(1, 4)
)
@settings(max_examples=6, deadline=None)
def test_a_percentile_is_the_same_however_it_is_found(tmp_path_factory, values, groups):
    path = tmp_path_factory.mktemp("spread") / "log.jsonl"
    cases = [
        case((None, f"m{n % groups}"), None, None, timings={"latency_ms": ms}) for n, ms in enumerate(values)
    ]
    write(path, cases)

    def asked():
        stats = get_stats(files=path, cache=False)
        return [stats.summary.latency_ms, *(stats.models[name].latency_ms for name in sorted(stats.models))]

    direct = asked()
    many = spread._MANY
    spread._MANY = 0
    try:
        assert asked() == direct
    finally:
        spread._MANY = many
