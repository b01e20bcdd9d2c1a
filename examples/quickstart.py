"""Log LLM requests in three ways and read the statistics back. Needs no key and no network, and takes a second.

python examples/quickstart.py [FOLDER]
"""

import logging
import logging.config
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import llm_logging
from llm_logging.cli.app import run

rng = random.Random(7)


class FakeProvider:
    """Stands in for an SDK: answers as OpenAI's does, or fails as it may."""

    def chat(self, model: str, prompt: str) -> dict:
        """Answer after a while."""
        time.sleep(rng.uniform(0.002, 0.02))
        if "impossible" in prompt:
            raise TimeoutError("no answer within 30 s")
        prompt_tokens, completion_tokens = rng.randint(200, 900), rng.randint(40, 300)
        return {
            "id": f"chatcmpl-{rng.getrandbits(32):08x}",
            "object": "chat.completion",
            "model": f"{model}-2024-07-18" if model == "gpt-4o-mini" else model,
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello!"}}
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }


def main(root: Path) -> int:
    # Once, at the start of the program: files only, rotated by size.
    logging.config.dictConfig(llm_logging.presets.production(root=root))
    provider = FakeProvider()

    # 1. Around a call: timed, counted, and logged whatever happens.
    log = llm_logging.get_logger("shop.chat", project_id="shop", chat_id="c-17", user_id="u-1")
    for question in ["What is in the basket?", "An impossible question", "And the delivery?"]:
        try:
            with log.request(model="gpt-4o-mini", provider="openai") as call:
                call.finish(provider.chat("gpt-4o-mini", question))
        except TimeoutError:
            log.warning("the provider was too slow", extra={"question_length": len(question)})

    # 2. As extras of any logger, in code that you cannot change much.
    logger = logging.getLogger("shop.search")
    for _ in range(5):
        began = time.perf_counter()
        answer = provider.chat("gpt-4o", "rank these")
        logger.info(
            "ranked",
            extra={
                "event_type": "llm_request",
                "project_id": "shop",
                "chat_id": "search",
                "model": "gpt-4o",
                "provider": "openai",
                "usage": answer["usage"],
                "timings": {"latency_ms": (time.perf_counter() - began) * 1000},
            },
        )

    # 3. An entry of your own, in its file when the call returns.
    result = llm_logging.log_llm_request(
        {
            "project_id": "reports",
            "chat_id": "nightly",
            "model": "house-model-1",
            "provider": "in-house",
            "usage": {"prompt_tokens": 1200, "completion_tokens": 340},
        }
    )
    assert result.logged

    logging.shutdown()
    status = run(["stats", "--root", str(root)])
    print(f"\nThe lines are in {root}:")
    for path in sorted(root.rglob("*.jsonl")):
        if not path.name.startswith("."):
            print(f"  {path.relative_to(root)}  {path.stat().st_size:,} bytes")
    print(f"\nAsk again:  llm-logging stats --root {root} --by project,model")
    return status


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LLM_LOGGING_ROOT")
    sys.exit(main(Path(given or tempfile.mkdtemp(prefix="llm_logging-"))))
