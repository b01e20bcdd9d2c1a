"""Write 2,000 made-up requests of January 2026, always the same ones, to try the reader with. Takes a second.

python examples/sample_logs.py [FOLDER]
"""

import logging
import os
import random
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import llm_logging

# Model, provider, share of the requests, share of the failures.
MODELS = [
    ("gpt-4o", "openai", 38, 0.05),
    ("gpt-4o-mini", "openai", 32, 0.05),
    ("claude-sonnet-4-5", "anthropic", 22, 0.04),
    ("llama-local", "ollama", 8, 0.02),
]
FAILURES = [
    (429, "rate_limit_exceeded", "error"),
    (503, "overloaded", "error"),
    (502, "bad_gateway", "error"),
    (None, "timeout", "timeout"),
]


def request(rng: random.Random, number: int) -> dict:
    """Return the fields of one request."""
    model, provider, _, failures = rng.choices(MODELS, [share for _, _, share, _ in MODELS])[0]
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(
        days=rng.randrange(25), hours=min(23, max(0, rng.gauss(13, 4))), microseconds=rng.randrange(10**6)
    )
    prompt, completion = 100 + int(rng.expovariate(1 / 2400)), 20 + int(rng.expovariate(1 / 430))
    latency = round(rng.lognormvariate(6.5, 0.55), 1)
    user = rng.randrange(40)
    fields = {
        "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "project_id": "shop" if rng.random() < 0.7 else "support",
        "chat_id": f"c-{number % 97}",
        "user_id": f"u-{user}",
        "model": model,
        "provider": provider,
        "operation": "chat",
        "timestamp_start": start,
        "timestamp_end": start + timedelta(milliseconds=latency),
        "timings": {"latency_ms": latency},
        "attributes": {"tenant": ("acme", "globex", "initech")[user % 3]},
        "messages": [{"role": "user", "content": f"Where is order {4000 + number}?"}],
    }
    if rng.random() < failures:
        http_status, code, status = rng.choice(FAILURES)
        return {**fields, "status": status, "http_status": http_status, "error": {"code": code}}
    return {
        **fields,
        "status": "success",
        "stream": True,
        "finish_reasons": ["stop"],
        "timings": {"latency_ms": latency, "time_to_first_token_ms": round(latency / 4, 1)},
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cache_read_tokens": prompt // 2 if model != "llama-local" and rng.random() < 0.5 else 0,
        },
        "response": f"Order {4000 + number} left the warehouse this morning.",
    }


def main(root: Path) -> None:
    rng = random.Random(2026)
    handler = llm_logging.LLMFileHandler(root)
    logger = logging.getLogger("app")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    for entry in sorted((request(rng, n) for n in range(2000)), key=lambda fields: fields["timestamp_start"]):
        logger.info("answered", extra={"llm_request": entry})
    handler.close()
    print(f"2,000 requests written to {root}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LLM_LOGGING_ROOT") or "var/llm"))
