"""Three hosts log, ship to one bucket and die; their figures stay. Takes some seconds.

python examples/fleet.py [URL]

The URL is that of a bucket (`s3://bucket/llm`) or a folder (`file:///srv/llm`). Without one, a local S3 server is started where the
package moto is installed (pip install 'moto[s3,server]'), else a temporary folder is used.
"""

import contextlib
import importlib.util
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import llm_logging
from llm_logging.cli.app import run

REQUESTS = 60
# A job that host 0 accepts and host 1 finishes: lines of one id, on two hosts, are one request.
JOB = str(uuid.UUID(int=4711))


def host(number: int, root: str) -> None:
    """Log as one host does; its files are rotated often, so that there is something to ship."""
    handler = llm_logging.LLMFileHandler(root, max_bytes=20_000)
    logging.getLogger("app").addHandler(handler)
    logging.getLogger("app").setLevel(logging.INFO)
    log = llm_logging.get_logger("app.chat", project_id="shop", chat_id=f"c-{number}")
    for turn in range(REQUESTS):
        usage = {"prompt_tokens": 100 * (number + 1), "completion_tokens": 10 + turn % 7}
        request = {"model": ("gpt-4o", "gpt-4o-mini")[turn % 2], "status": "success", "usage": usage}
        log.info("answered", extra={"llm_request": request})
    if number < 2:
        job = {"id": JOB, "model": "gpt-4o", "status": "success" if number else "pending"}
        job |= {"usage": {"prompt_tokens": 5, "completion_tokens": 5}} if number else {}
        log.info("job", extra={"llm_request": job})


@contextlib.contextmanager
def bucket() -> Iterator[str]:
    """Give the URL of a store that lasts as long as this program."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("obstore") is None:
        with tempfile.TemporaryDirectory() as folder:
            yield f"file://{folder}"
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local", AWS_REGION="us-east-1")
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(
                        urllib.request.Request(f"{endpoint}/llm-logs", method="PUT")
                    ).close()
                    break
                time.sleep(0.1)
            yield "s3://llm-logs/fleet"
        finally:
            server.terminate()


def fleet(url: str) -> None:
    """Run the hosts, ship what they logged, and ask about all of them."""
    with tempfile.TemporaryDirectory() as disks:
        for number in range(3):
            root = Path(disks) / f"host-{number}"
            subprocess.run([sys.executable, __file__, "--host", str(number), str(root)], check=True)
            # As a container's last step: what is still open is sealed, and shipped too.
            subprocess.run(
                [sys.executable, "-m", "llm_logging", "ship", "--root", str(root), "--to", url, "--flush"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            shutil.rmtree(root)
    stats = llm_logging.get_stats(root=url)
    print(
        f"{stats.summary.total_requests} requests of {len(stats.quality.hosts)} hosts, {stats.summary.total_tokens:,} tokens"
    )
    print(
        f"complete: {stats.quality.complete}, up to {stats.quality.fresh_until}; waiting: {stats.quality.waiting_lines} lines"
    )
    run(["stats", "--root", url, "--by", "model"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--host"]:
        host(int(sys.argv[2]), sys.argv[3])
    elif len(sys.argv) > 1:
        fleet(sys.argv[1])
    else:
        with bucket() as made:
            fleet(made)
