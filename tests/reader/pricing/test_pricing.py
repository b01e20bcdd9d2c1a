"""Prices: the sum over requests is exactly the sum of genai-prices' own answers."""

from __future__ import annotations

import copy
import json
import random
import re
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from llm_logging.errors import ConfigurationError
from llm_logging.models.stats import StatsOptions
from llm_logging.reader.price_report import get_prices
from llm_logging.reader.pricing.overrides import read_overrides
from llm_logging.reader.stats import get_stats

FIRST = datetime(2024, 6, 1, tzinfo=UTC)


def models_of(random_):
    """Pick models of every provider, those first whose price depends on more than tokens."""
    listed = [(p.id, m) for p in get_snapshot().providers for m in p.models]
    special = [
        (p, m.id) for p, m in listed
        if m.price_variants or not isinstance(m.prices, genai_prices.types.ModelPrice) or "Tiered" in repr(m.prices)
        or "audio" in repr(m.prices)
    ]  # fmt: skip
    plain = [(p, m.id) for p, m in listed]
    return random_.sample(special, min(150, len(special))) + random_.sample(plain, 100)


def random_usage(random_):
    prompt = random_.choice([0, 3, 1000, 127_999, 128_000, 128_001, 200_000, 200_001, 272_001, 1_500_000])
    prompt += random_.randint(0, 5000) if random_.random() < 0.5 else 0
    completion = random_.randint(0, 20_000)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    left = prompt
    for name in ("cache_read_tokens", "cache_write_tokens", "audio_prompt_tokens"):
        if random_.random() < (0.1 if name == "audio_prompt_tokens" else 0.4):
            usage[name] = random_.randint(0, left)
            left -= usage[name]
    if usage.get("cache_write_tokens") and random_.random() < 0.6:
        usage["cache_write_1h_tokens"] = random_.randint(0, usage["cache_write_tokens"])
    if random_.random() < 0.1:
        usage["audio_completion_tokens"] = random_.randint(0, completion)
    elif random_.random() < 0.1:
        usage["image_completion_tokens"] = random_.randint(0, completion)
    if left and random_.random() < 0.1:
        usage["image_prompt_tokens"] = random_.randint(0, left)
    if random_.random() < 0.1:
        usage["units"] = {random_.choice(["web_searches", "storage_searches"]): random_.randint(1, 3)}
    if random_.random() < 0.03:
        # Counts that contradict each other: the list decides one by one.
        usage["cache_read_tokens"] = prompt + random_.randint(0, 10)
    return usage


NAMES = {
    "prompt_tokens": "input_tokens", "completion_tokens": "output_tokens",
    "audio_prompt_tokens": "input_audio_tokens", "audio_completion_tokens": "output_audio_tokens",
    "image_prompt_tokens": "input_image_tokens", "image_completion_tokens": "output_image_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
}  # fmt: skip


def listed_price(provider, model, tier, usage, at):
    """Return what the list itself says."""
    return known_price(provider, model, tier, None, usage, at)[0]


def known_price(provider, model, tier, speed, usage, at):
    """Return what of a request the list has a rate for, None where it has none, and whether that is all of it."""
    counts = {NAMES.get(name, name): count for name, count in usage.items() if isinstance(count, int)}
    counts |= usage.get("units", {})
    if provider == "fireworks" and "/" not in model:
        # The list knows Fireworks' models by their whole path only.
        model = f"accounts/fireworks/models/{model}"
    context = {}
    if tier in {"batch", "flex", "priority", "fast"}:
        context["processing" if tier == "batch" else "service_tier"] = tier
    if speed == "fast":
        context["speed"] = speed
    try:
        host, listed = get_snapshot().find_provider_model(model, None, provider, None)
        rates = listed.get_prices(at, context or None)
        if context and not any(
            variant.when == context and (variant.constraint is None or variant.constraint.active(at))
            for variant in listed.price_variants or ()
            if any(listed is own for own in host.models)
        ):
            return None, False
        price = listed.calc_price(
            genai_prices.Usage(**counts), host, genai_request_timestamp=at, price_context=context or None
        ).total_price
    except (LookupError, ValueError):
        return None, False

    def rate(key):
        value = rates.__dict__.get(key)
        if isinstance(value, genai_prices.types.TieredPrices):
            over = [step.price for step in value.tiers if usage["prompt_tokens"] > step.start]
            return over[-1] if over else value.base
        return value or Decimal(0)

    free = not any(rates.__dict__.values())
    gaps = [
        (name, side)
        for name, side, own in (
            ("audio_prompt_tokens", "input_mtok", {"input_audio_mtok"}),
            ("audio_completion_tokens", "output_mtok", {"output_audio_mtok"}),
            ("image_completion_tokens", "output_mtok", {"output_image_mtok", "input_image_mtok"}),
        )
        if usage.get(name) and not free and not any(rate(key) for key in own)
        and not (host.id == "google" and name == "audio_prompt_tokens")
    ]  # fmt: skip
    unit_rates = {"web_searches": "web_searches_kcount", "storage_searches": "storage_searches_kcount"}
    unlisted = [name for name in usage.get("units", {}) if not rate(unit_rates[name])]
    by_other_units = not free and not (rate("input_mtok") or rate("output_mtok"))
    price -= sum((usage[name] * rate(side) / 1_000_000 for name, side in gaps), Decimal(0))
    return price, not (gaps or unlisted or by_other_units)


def line(number, provider, model, tier, usage, at, **fields):
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    entry = {
        "v": 1, "timestamp": text, "event_type": "llm_request", "id": f"00000000-0000-4000-8000-{number:012d}",
        "project_id": "p", "chat_id": "c", "model": model, "provider": provider, "status": "success",
        "timestamp_start": text, "usage": usage, "service_tier": tier, **fields,
    }  # fmt: skip
    return json.dumps({k: v for k, v in entry.items() if v is not None}) + "\n"


def contradictory(usage):
    parts = ("cache_read_tokens", "cache_write_tokens", "audio_prompt_tokens")
    made = ("audio_completion_tokens", "image_completion_tokens")
    return (
        sum(usage.get(name, 0) for name in parts) > usage["prompt_tokens"]
        or sum(usage.get(name, 0) for name in made) > usage["completion_tokens"]
    )


def test_ten_thousand_random_requests_cost_what_the_list_says(tmp_path):
    random_ = random.Random(20260115)
    models = models_of(random_)
    path = tmp_path / "log.jsonl"
    expected, priced, unpriced = {}, 0, 0
    with path.open("w") as file:
        for number in range(10_000):
            provider, model = random_.choice(models)
            model = model if random_.random() < 0.98 else "no-such-model"
            tier = random_.choice(
                [None, None, None, "default", "standard", "batch", "flex", "priority", "fast"]
            )
            speed = random_.choice([None] * 9 + ["fast"])
            usage = random_usage(random_)
            at = FIRST + timedelta(
                seconds=random_.randint(0, 900 * 86_400), microseconds=random_.randint(0, 999_999)
            )
            file.write(line(number, provider, model, tier, usage | ({"speed": speed} if speed else {}), at))
            price, whole = known_price(provider, model, tier, speed, usage, at)
            if contradictory(usage) and not whole:
                price = None
            priced += whole
            unpriced += not whole
            if price is not None:
                expected[model] = expected.get(model, Decimal(0)) + price
    stats = get_stats(files=path, cache=False)
    assert (stats.summary.priced_requests, stats.summary.unpriced_requests) == (priced, unpriced)
    assert min(priced, unpriced) > 2000
    got = {m: Decimal(f.estimated_cost) for m, f in stats.models.items() if f.estimated_cost is not None}
    # A lower bound of 0 is no cost.
    assert got == {m: cost for m, cost in expected.items() if cost or not stats.models[m].unpriced_requests}
    assert Decimal(stats.summary.estimated_cost) == sum(expected.values())
    assert sum(stats.quality.unpriced_reasons.values()) == unpriced


def price_one(tmp_path, *lines, **options):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(lines))
    return get_stats(None, StatsOptions(**options), files=path, cache=False, prices=tmp_path / "prices.toml")


TOML = """
[[rates]]
model = "house-*"
input = "2"
output = 8.5
cache_read = "0.2"
cache_write = "2.5"
cache_write_1h = "4"
request = "0.01"
tiers = [{ over = 1000, input = "4" }]

[[rates]]
provider = "openai"
model = "gpt-4o"
from = 2026-02-01
until = 2026-03-01
input = "1"
output = "1"
"""


def test_the_users_own_rates_go_first(tmp_path):
    (tmp_path / "prices.toml").write_text(TOML)
    january, february = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    cached = {**usage, "cache_read_tokens": 400, "cache_write_tokens": 300, "cache_write_1h_tokens": 100}
    longer = {**usage, "prompt_tokens": 1001}

    def cost(provider, model, counts, at):
        stats = price_one(tmp_path, line(1, provider, model, None, counts, at))
        return Decimal(stats.summary.estimated_cost), stats.summary.cache_savings

    million = Decimal(1_000_000)
    assert cost(None, "house-1", usage, january)[0] == (2000 + Decimal("850")) / million + Decimal("0.01")
    assert cost("x", "house-1", cached, january)[0] == (
        300 * 2 + Decimal(80) + 200 * Decimal("2.5") + 400 + 850
    ) / million + Decimal("0.01")
    # Reading saves 1.8 a token, writing costs 0.5 more for five minutes and 2 more for an hour.
    assert Decimal(cost("x", "house-1", cached, january)[1]) == (400 * Decimal("1.8") - 100 - 200) / million
    assert cost(None, "house-1", longer, january)[0] == (1001 * 4 + Decimal(850)) / million + Decimal("0.01")
    assert cost("openai", "gpt-4o", usage, january)[0] == listed_price(
        "openai", "gpt-4o", None, usage, january
    )
    assert cost("openai", "gpt-4o", usage, february)[0] == Decimal(1100) / million


def test_what_the_provider_reported_goes_before_any_list(tmp_path):
    (tmp_path / "prices.toml").write_text(TOML)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    usage = {"prompt_tokens": 10, "completion_tokens": 1}
    stats = price_one(
        tmp_path,
        line(1, "openai", "gpt-4o", None, usage, at, cost={"amount": "0.1", "currency": "USD"}),
        line(2, "openai", "gpt-4o", None, usage, at, cost={"amount": 0.2}),
        line(3, "openai", "gpt-4o", None, usage, at, cost={"amount": "5", "currency": "eur"}),
        line(4, "openai", "gpt-4o", None, usage, at),
        line(5, "openai", "mystery", None, usage, at),
    )
    figures = stats.summary
    assert figures.reported_cost == "0.3"
    assert figures.other_costs == {"EUR": "5"}
    listed = listed_price("openai", "gpt-4o", None, usage, at)
    assert Decimal(figures.estimated_cost) == listed
    assert Decimal(figures.total_cost) == listed + Decimal("0.3")
    assert (figures.reported_requests, figures.priced_requests, figures.unpriced_requests) == (3, 1, 1)
    assert stats.quality.unpriced_models == {"openai/mystery": 1}
    assert stats.models["mystery"].estimated_cost is None


def test_what_was_reported_in_other_currencies_only_is_no_zero_in_this_one(tmp_path):
    (tmp_path / "prices.toml").write_text(TOML)
    at, usage = datetime(2026, 1, 1, tzinfo=UTC), {"prompt_tokens": 10, "completion_tokens": 1}
    foreign = line(1, "openai", "gpt-4o", None, usage, at, cost={"amount": "1.5", "currency": "EUR"})
    figures = price_one(tmp_path, foreign).summary
    assert figures.other_costs == {"EUR": "1.5"}
    assert (figures.total_cost, figures.estimated_cost, figures.reported_cost) == (None, None, None)
    assert figures.cache_savings is None
    reported = line(2, "openai", "gpt-4o", None, usage, at, cost={"amount": "2"})
    figures = price_one(tmp_path, foreign, reported).summary
    assert (figures.total_cost, figures.reported_cost, figures.other_costs) == ("2", "2", {"EUR": "1.5"})


def test_a_currency_is_told_by_its_letters(tmp_path):
    (tmp_path / "prices.toml").write_text(TOML)
    at, usage = datetime(2026, 1, 1, tzinfo=UTC), {"prompt_tokens": 10, "completion_tokens": 1}
    stats = price_one(
        tmp_path,
        *(
            line(number, "openai", "gpt-4o", None, usage, at, cost={"amount": "1", "currency": currency})
            for number, currency in enumerate(["EUR", " eur", "eur ", "", "  ", None])
        ),
    )
    assert stats.summary.other_costs == {"EUR": "3"}
    assert stats.summary.reported_cost == "3"
    assert stats.quality.invalid_fields == {"cost.currency": 2}


def test_the_response_model_is_what_is_priced(tmp_path):
    (tmp_path / "prices.toml").write_text(TOML)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    stats = price_one(tmp_path, line(1, "openai", "my-alias", None, usage, at, response_model="gpt-4o-mini"))
    assert Decimal(stats.summary.estimated_cost) == listed_price("openai", "gpt-4o-mini", None, usage, at)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "TOML"),
        ("[[rates]]\ninput = 1\noutput = 1", r"rates\[0\]\.model"),
        ('[[rates]]\nmodel = "a"\ninput = 1', "input and output"),
        ('[[rates]]\nmodel = "a"\ninput = -1\noutput = 1', r"rates\[0\]\.input"),
        ('[[rates]]\nmodel = "a"\ninput = 1\noutput = 1\nfree = 1', "free"),
        ('[[rates]]\nmodel = "a"\ninput = 1\noutput = 1\nfrom = "soon"', r"rates\[0\]\.from"),
    ],
)
def test_a_wrong_file_of_rates_says_what_is_wrong(text, says, tmp_path):
    (tmp_path / "prices.toml").write_text(text)
    (tmp_path / "log.jsonl").touch()
    with pytest.raises(ConfigurationError, match=says):
        price_one(tmp_path, "")


def test_a_list_that_was_fetched_is_not_taken_for_the_installed_one(tmp_path, monkeypatch):
    from genai_prices import data_snapshot

    request = {
        "event_type": "llm_request",
        "id": "r",
        "model": "gpt-4o",
        "provider": "openai",
        "status": "success",
    }
    path = tmp_path / "log.jsonl"
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
    path.write_text(
        json.dumps({**request, "timestamp": "2026-01-15T10:00:00.000000Z", "usage": usage}) + "\n"
    )
    installed = data_snapshot.get_snapshot()
    fetched = data_snapshot.DataSnapshot(providers=copy.deepcopy(installed.providers), from_auto_update=True)
    _, model = fetched.find_provider_model("gpt-4o", None, "openai", None)
    model.prices.input_mtok = Decimal(7)

    def asked():
        report = get_prices(files=path, cache_dir=tmp_path / "cache")
        return report.uses[0].cost, report.version

    price, version = asked()
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", fetched)
    assert asked() == ("7", f"{version}, updated {fetched.timestamp.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}")
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", None)
    assert asked() == (price, version)
    assert price != "7"


WRONG = {
    "tiers = 5": "tiers: expected a list of tables, got 5",
    'tiers = ["x"]': "tiers: expected a list of tables, got",
    "from = 2026-02-01\nuntil = 2026-01-01": "until: expected a day after 2026-02-01, from which it holds, got 2026-01-01",
    "from = 2026-02-01\nuntil = 2026-02-01": "until: expected a day after 2026-02-01",
    'from = "garbage"': "from: expected a date such as 2026-01-01, got 'garbage'",
    'until = "0001-01-01T00:00:00+05:00"': "until: expected a date such as 2026-01-01, got '0001",
    'request = "1e36"': "request: expected 0 to 1,000,000 dollars with at most 18 decimals, got '1e36'",
    'cache_read = "1000000.01"': "cache_read: expected 0 to 1,000,000 dollars",
    'cache_read = "1e6"\nrequest = "1e-18"': "expected rates of 20 digits at most",
}


@pytest.mark.parametrize("lines", WRONG)
def test_a_rate_that_cannot_be_meant_is_refused_by_its_name(tmp_path, lines):
    path = tmp_path / "prices.toml"
    path.write_text(f'[[rates]]\nmodel = "m"\ninput = "1"\noutput = "1"\n{lines}\n')
    with pytest.raises(ConfigurationError, match=re.escape(WRONG[lines])):
        read_overrides(path)


@pytest.mark.parametrize("rate", ["1000000", "99.999999999999999999"])
def test_the_dearest_rates_and_most_tokens_are_counted_exactly(tmp_path, rate):
    prices = tmp_path / "prices.toml"
    prices.write_text(f'[[rates]]\nmodel = "m"\ninput = "{rate}"\noutput = "{rate}"\n')
    log = tmp_path / "log.jsonl"
    usage = {"prompt_tokens": 2**53, "completion_tokens": 2**53, "total_tokens": 2**54}
    lines = [
        {"event_type": "llm_request", "id": str(uuid.UUID(int=n)), "model": "m", "status": "success", "usage": usage,
         "timestamp_start": "2026-01-15T10:00:00Z"}
        for n in range(5)
    ]  # fmt: skip
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    stats = get_stats(files=log, cache=False, prices=prices)
    with localcontext() as context:
        context.prec = 60
        assert Decimal(stats.summary.estimated_cost) == Decimal(rate) * 10 * 2**53 / 10**6


FAR = {
    "plain": {},
    "cached": {"cache_read_tokens": 2**52, "cache_write_tokens": 2**52, "reasoning_tokens": 2**53},
    # Counts that contradict each other are priced one by one.
    "contradictory": {"cache_read_tokens": 2**53, "cache_write_tokens": 2**53},
}


@pytest.mark.parametrize("kind", FAR)
@pytest.mark.parametrize("rate", ["10000", "99.999999999999999999"])
def test_sums_beyond_any_bill_are_exact(tmp_path, rate, kind):
    prices = tmp_path / "prices.toml"
    prices.write_text(f'[[rates]]\nmodel = "m"\ninput = "{rate}"\noutput = "{rate}"\nrequest = "0.5"\n')
    log = tmp_path / "log.jsonl"
    usage = {"prompt_tokens": 2**53, "completion_tokens": 2**53, "total_tokens": 2**54, **FAR[kind]}
    at = datetime(2026, 1, 15, 10, tzinfo=UTC)
    log.write_text("".join(line(n, "x", "m", None, usage, at, chat_id=f"c{n % 2}") for n in range(400)))
    reading = {"files": log, "cache": False, "prices": prices}
    one = get_stats(None, StatsOptions(where="chat=c0", group_by="id"), **reading).breakdown[0]
    stats = get_stats(None, StatsOptions(group_by="chat"), **reading)
    with localcontext() as context:
        context.prec = 100
        cost = Decimal(one.estimated_cost)
        if kind != "contradictory":
            assert cost == Decimal(rate) * 2**54 / 10**6 + Decimal("0.5")
        assert Decimal(stats.summary.estimated_cost) == 400 * cost
        assert [Decimal(row.total_cost) for row in stats.breakdown] == [200 * cost] * 2
        uses = get_prices(**reading).uses
        assert sum(Decimal(use.cost) for use in uses) == 400 * cost
    assert stats.summary.total_tokens == 400 * 2**54


def test_reported_sums_beyond_any_bill_are_exact(tmp_path):
    log = tmp_path / "log.jsonl"
    at = datetime(2026, 1, 15, 10, tzinfo=UTC)
    amount, count = "999999999.000000000000000000000001", 60_000
    costs = [
        {"amount": amount},
        {"amount": f"-{amount}", "currency": "EUR"},
        {"amount": amount, "currency": "USD"},
    ]
    with log.open("w") as file:
        for n in range(3 * count):
            file.write(line(n, "x", "m", None, None, at, cost=costs[n % 3]))
    reading = {"files": log, "cache": False}
    summary = get_stats(**reading).summary
    with localcontext() as context:
        context.prec = 100
        exact = 2 * count * Decimal(amount)
        assert Decimal(summary.reported_cost) == Decimal(summary.total_cost) == exact
        assert {name: Decimal(value) for name, value in summary.other_costs.items()} == {"EUR": -exact / 2}
        assert sorted(Decimal(use.cost) for use in get_prices(**reading).uses) == [-exact / 2, exact]


def test_what_changed_between_two_periods_is_exact(tmp_path):
    from llm_logging.reader.compare import compare_stats

    log = tmp_path / "log.jsonl"
    amounts = ["100000000.000000000000000000000001", "300000000.000000000000000000000003"]
    days = [datetime(2026, 1, day, 10, tzinfo=UTC) for day in (15, 16)]
    log.write_text(
        "".join(line(n, "x", "m", None, None, days[n], cost={"amount": amounts[n]}) for n in range(2))
    )
    both = [StatsOptions(from_date=day, to_date=day) for day in ("2026-01-15", "2026-01-16")]
    change = compare_stats(None, *both, files=log, cache=False).summary["total_cost"]
    assert (change.absolute, change.relative) == ("200000000.000000000000000000000002", 2.0)


def test_the_mean_of_equal_durations_is_one_of_them(tmp_path):
    log = tmp_path / "log.jsonl"
    at = datetime(2026, 1, 15, 10, tzinfo=UTC)
    log.write_text(
        "".join(line(n, "x", "m", None, None, at, timings={"latency_ms": 1e300}) for n in range(3000))
    )
    spread = get_stats(files=log, cache=False).summary.latency_ms
    assert (spread.mean, spread.min, spread.max, spread.p50) == (1e300,) * 4
