"""Configure everything by hand: dictConfig, or a preset that is changed.

python examples/dictconfig.py [FOLDER]
"""

import json
import logging
import logging.config
import os
import sys
import tempfile
from pathlib import Path

import llm_logging
from llm_logging.cli.app import run


def config(root: Path) -> dict:
    """Return a configuration as a settings file would hold it."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "console": {"()": "llm_logging.LLMConsoleFormatter"},
            "json": {
                "()": "llm_logging.LLMJsonFormatter",
                "static_fields": {"service": "shop", "region": "eu"},
            },
        },
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "console", "level": "WARNING"},
            "llm": {
                "class": "llm_logging.LLMFileHandler",
                "formatter": "json",
                "root": str(root),
                "defaults": {"project_id": "shop", "chat_id": "none"},
                "max_bytes": 16 << 20,
                "backup_count": 10,
                "compress": "gz",
                "content": "off",
            },
        },
        "root": {"level": "INFO", "handlers": ["console", "llm"]},
    }


def preset(root: Path) -> dict:
    """Return a preset with changes: a preset is a plain dict."""
    changed = llm_logging.presets.production(root=root, level="WARNING")
    changed["loggers"] = {"shop": {"level": "DEBUG"}, "urllib3": {"level": "ERROR"}}
    return changed


def main(root: Path) -> int:
    for number, make in enumerate((config, preset)):
        # It survives JSON, so it may as well come from a file.
        logging.config.dictConfig(json.loads(json.dumps(make(root))))
        logging.getLogger("shop").info("configured", extra={"number": number})
        logging.getLogger("shop").info(
            "answered",
            extra={
                "llm_request": {
                    "project_id": "shop",
                    "chat_id": f"c-{number}",
                    "model": "gpt-4o",
                    "usage": {"prompt_tokens": 100, "completion_tokens": 50},
                }
            },
        )
        logging.getLogger("shop").warning("on the console too")
    logging.shutdown()
    return run(["stats", "--root", str(root), "--by", "chat"])


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LLM_LOGGING_ROOT")
    sys.exit(main(Path(given or tempfile.mkdtemp(prefix="llm_logging-"))))
