"""Time redaction: `python -m tests.benchmarks.redact`.

Four tables. *Lines*: what the quick test costs on a line without secrets, beside `json.dumps` of the same record, and what
a line with one secret costs. *Large*: one message of 32 MB, plain and hostile: prefixes without end, near misses, secrets by
the hundred thousand; then what is almost personal data, with those sets asked for. *Memory*: the most that the largest takes beside the text. Every result is checked before its time is
printed; times are of the processor, the best of a few.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from llm_logging.redaction.redactor import Redactor
from llm_logging.redaction.scanner import PATTERN_SETS
from tests.benchmarks.write import PROMPT, fields

SECRET = "sk" + "-" + "a1B2c3D4" * 6
PROSE = "The quick brown fox jumps over the lazy dog; see https://example.com/a?b=c for max_tokens. def f(x): return x + 1\n"


def best(function: Callable[[Any], Any], argument: Any, *, rounds: int = 5, calls: int = 5000) -> float:
    """Return the processor seconds of one call."""
    found = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(calls):
            function(argument)
        found = min(found, (time.process_time() - begun) / calls)
    return found


def record(prompt: str | None) -> dict[str, Any]:
    return {
        "v": 1,
        "timestamp": "2026-01-15T10:30:00.123456Z",
        "level": "INFO",
        "logger": "bench",
        "message": "answered",
        "writer": {"id": "413797d45e56802c", "seq": 12345},
        "id": "8d3f5f60-1111-4222-8333-123456789abc",
        **fields(1, prompt),
    }


def lines() -> None:
    redactor = Redactor()
    print(f"{'a line':34}{'bytes':>8}{'json.dumps us':>15}{'clean us':>10}{'ratio':>8}{'redact us':>11}")
    for name, document in (
        ("14 fields", record(None)),
        ("14 fields and a prompt of 4 KB", record(PROMPT)),
        ("14 fields and a secret", {**record(None), "note": f"key {SECRET}"}),
        ("14 fields, 4 KB, and a secret", {**record(PROMPT), "note": f"key {SECRET}"}),
    ):
        line = json.dumps(document, separators=(",", ":")).encode()
        expected = SECRET not in line.decode()
        assert redactor.clean(line) is expected
        assert SECRET not in json.dumps(redactor.redact(document))
        dumps, clean = best(json.dumps, document), best(redactor.clean, line)
        redact = best(redactor.redact, document, calls=500)
        print(
            f"{name:34}{len(line):8}{dumps * 1e6:15.2f}{clean * 1e6:10.2f}{clean / dumps:8.2f}{redact * 1e6:11.1f}"
        )


# What each detector looks at in vain, or finds.
NEAR_MISSES = (
    f"ghp_{'a' * 35} sk-{'a' * 24} _mmk -us1 -----BEGIN PRIVATE KEY ://a:$b@ sig=aaaaaaaaaaaa bearer abcdefgh "
    'token: "a" curl -u a:b;b; password is wrong '
)
SMALL_SECRETS = (
    f"ghp_{'a' * 36} -----BEGIN PRIVATE KEY ://a:b@ ?sig={'a' * 16} bearer a1{'a' * 16} "
    'password: "abcd" curl -u a:b password is a1b2c3 '
)
NEAR_PERSONAL = "a@b.c1 +1 2 3 4 5 6 4111 1111 1111 1112 DE12 1234 1234 1234 1 1.2.3.4a "


def between(tail: str, filling: str, every: int) -> str:
    """Return a text of so many letters that ends with a line of its own; a little of everything in each block."""
    room = every - len(tail) - 1
    return (filling * (room // len(filling) + 1))[:room] + "\n" + tail


def hostile(size: int) -> dict[str, str]:
    def repeated(text: str) -> str:
        return text * (size // len(text))

    return {
        "plain prose and code": repeated(PROSE),
        "one letter": repeated("a"),
        "base64": repeated("iVBORw0KGgoAAAANSUhEUgAAAAUA+/"),
        "a secret every 120 letters": repeated(PROSE + SECRET + "\n"),
        "secrets only": repeated(SECRET + " "),
        "sk- without end": repeated("sk-"),
        "eyJ without end": repeated("eyJ"),
        "eyJ- without end": repeated("eyJ-"),
        "half a token, again and again": repeated("eyJaaaaaaaa.eyJaaaaaaaa.x "),
        "AKIA without end": repeated("AKIA"),
        "a letter short of a token": repeated("ghp_" + "a" * 35 + " "),
        "BEGIN without END": repeated("-----BEGIN RSA PRIVATE KEY-----"),
        "dashes": repeated("-"),
        "://a: without @": repeated("://a:"),
        "http://a:b@": repeated("http://a:b@"),
        "password= without end": repeated("password="),
        "password=hunter2": repeated("password=hunter2 "),
        'password=" without end': repeated('password="'),
        "token: without end": repeated("token:"),
        "Bearer without end": repeated("Bearer "),
        "Basic, near misses": repeated("basic abcdefgh "),
        "Cookie lines": repeated("cookie: a=b\n"),
        "nested JSON": repeated('{"token":'),
        "curl without end": repeated("curl "),
        "curl and pairs that are variables": repeated("curl -u a:$B "),
        "login without end": repeated("login "),
        "my password is wrong": repeated("my password is wrong, "),
        "almost every key": repeated("sk-ant-api03 ghp_abc AKIAIOSF xoxb-1 hf_x glpat-1 eyJ.eyJ. ya29. "),
        "-----BEGIN": repeated("-----BEGIN "),
        "Bearer of words": repeated("bearer authentication "),
        "logins without machines": repeated("login a password b "),
        "machines without names": repeated("machine a login b password "),
        "pwd: words": repeated("pwd: abcdefg "),
        "pwd: lines": repeated("pwd: abcdefg\n"),
        "password: sentences": repeated("password: abcdefgh.\n"),
        "password is base64": repeated("password is base64 "),
        "variables called passwords": repeated("PASSWORD=password "),
        "PGPASSWORD=abcdef": repeated("PGPASSWORD=abcdef "),
        "mysql -p and a variable": repeated("mysql -p$A "),
        "a command and line ends": repeated("curl -u $A:b curl -u a:$B " + "\n" * 2000),
        "tokens of a model": repeated('"token":"a","'),
        "tokens with spaces": repeated('"token": "abc def", '),
        "words for passwords": repeated('password: "text" '),
        "nothing between quotes": repeated('password: "" '),
        "placeholders": repeated('password: "<your password>" '),
        "a header and no scheme": repeated("authorization: bearer x "),
        "pairs that end elsewhere": repeated("authorization, 'x' "),
        "secret and a variable": repeated("secret: $x1 "),
        "pass and what is no option": repeated("pass a1 "),
        "short passwords": repeated("api_key=a1 "),
        "many short secrets": repeated("api_key: a1b2c3d4 "),
        "quotes of another depth": repeated('\\"token\\": \\"abc\\", '),
        "JSON in JSON in JSON": repeated('"{\\"api_key\\": \\"{\\\\\\"x\\\\\\": 1}\\"}" '),
        "key=key=": repeated("key=key=api_key="),
        "bot tokens without bots": repeated("1234567:AAaaaaaaaaaaaaa"),
        "half a bot token": repeated("12345678:AA" + "a" * 19 + " "),
        "half a snowflake": repeated("MT" + "a" * 21 + ".aaaaaa.aa "),
        "-us1 without a key": repeated("-us1"),
        "_mmk without a key": repeated("_mmk"),
        "Q~ without a secret": repeated("Q~aaaaaaaaaaaa"),
        "sk- and letters alone": repeated("sk-" + "a" * 24 + " "),
        "Bearer of tokens": repeated("bearer a1aaaaaaaaaaaaaaa "),
        "Basic, each another": "".join(f"basic {number:08x}abcd " for number in range(size // 19)),
        "BEGIN and END alone": repeated("-----BEGIN PRIVATE KEY----- "),
        "brackets": repeated("["),
        "backslashes": repeated("\\"),
        "near misses of all sorts": repeated(NEAR_MISSES),
        "near misses of all sorts in prose": repeated(between(NEAR_MISSES, PROSE, 2048)),
        "near misses of all sorts among pass": repeated(between(NEAR_MISSES, "pass", 2048)),
        "near misses, four times a block": repeated(between(NEAR_MISSES, "pass", 512)),
        "near misses of all sorts among -u": repeated(between(NEAR_MISSES, "-u ", 2048)),
        "secrets of all sorts in prose": repeated(between(SMALL_SECRETS, PROSE, 2048)),
        "secrets of all sorts among letters": repeated(between(SMALL_SECRETS, "s ", 2048)),
        "other letters": repeated("p\u00e4\u00dfw\u00f6rd token \u00e9 "),
    }


def almost_personal(size: int) -> dict[str, str]:
    """Return texts of numbers and addresses that are almost right, for the sets that are asked for by name."""

    def repeated(text: str) -> str:
        return text * (size // len(text))

    return {
        "plain prose and code": repeated(PROSE),
        "card numbers, one digit wrong": repeated("4111 1111 1111 1112 "),
        "digits": repeated("4111111111111112"),
        "account numbers, one digit wrong": repeated("DE89370400440532013001 "),
        "beginnings of account numbers": repeated("DE12 "),
        "phone numbers cut short": repeated("555-123-456 "),
        "addresses without end": repeated("a@b."),
        "IPv6 without end": repeated("a:a:"),
        "IPv6 and a letter more": repeated("f:f:f:g "),
        "times of day": repeated("12:34:56 "),
        "versions": repeated("1.2.3.4a "),
        "addresses of machines": repeated("fe80::1 "),
        "numbers above 255": repeated("999.999.999.999 "),
        "phone numbers": repeated("555-555-5555 "),
        "+ and digits": repeated("+1 2 3 4 5 6 "),
        "account numbers": repeated("DE89370400440532013000 "),
        "words of two letters and two digits": repeated("ab12-ab12-ab12-ab12-"),
        "card numbers": repeated("4111 1111 1111 1111 "),
        "addresses in a row": repeated("a@b.c@"),
        "all that is almost right": repeated(NEAR_PERSONAL),
        "all that is almost right, in prose": repeated(between(NEAR_MISSES + NEAR_PERSONAL, PROSE, 2048)),
        "all that is almost right, among pass": repeated(between(NEAR_MISSES + NEAR_PERSONAL, "pass", 2048)),
        "all that is almost right, among spaces": repeated(between(NEAR_MISSES + NEAR_PERSONAL, " ", 2048)),
        "all that is almost right, among quotes": repeated(between(NEAR_MISSES + NEAR_PERSONAL, "':\"", 512)),
    }


def large(size: int) -> None:
    measured("a message", Redactor(), hostile(size))
    measured(
        "the same with all sets asked for",
        Redactor(patterns=PATTERN_SETS),
        {**almost_personal(size), **hostile(size)},
    )


def measured(title: str, redactor: Redactor, texts: dict[str, str]) -> None:
    plain = 0.0
    print(f"\n{title:34}{'MB':>6}{'seconds':>10}{'ns/byte':>10}{'x plain':>9}")
    for name, text in texts.items():
        gc.collect()
        begun = time.process_time()
        found = redactor.redact_text(text)
        seconds = time.process_time() - begun
        assert SECRET not in found
        assert ("hunter2" not in found) or name != "password=hunter2"
        plain = plain or seconds
        print(
            f"{name:34}{len(text) / 1e6:6.0f}{seconds:10.2f}{seconds / len(text) * 1e9:10.1f}{seconds / plain:9.1f}",
            flush=True,
        )


def memory(size: int) -> None:
    redactor = Redactor()
    text = PROSE * (size // len(PROSE)) + SECRET
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    assert SECRET not in redactor.redact_text(text)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    print(f"\nmemory beside a text of {len(text) / 1e6:.0f} MB: at most {peak / 1e6:.0f} MB")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=32)
    size = int(parser.parse_args().megabytes * 1e6)
    lines()
    large(size)
    memory(size)


if __name__ == "__main__":
    main()
