"""Clean exits lose nothing: all lines are in the files, and no spool is left behind."""

from __future__ import annotations

import json

import pytest

from tests.processes import assert_once, messages, rings, run


def names(start: int, stop: int, name: str = "m") -> list[str]:
    return [f"{name}{number}" for number in range(start, stop)]


ENDS = {
    "return": ("", 0),
    "exception": ("raise RuntimeError('over')", 1),
    "sys.exit": ("sys.exit(3)", 3),
    "exit in a thread's wake": ("threading.Thread(target=write, args=(50, 60)).start()", 0),
    # A program in the background starts with the signal ignored.
    "keyboard interrupt": (
        "signal.signal(signal.SIGINT, signal.default_int_handler); os.kill(os.getpid(), signal.SIGINT); time.sleep(5)",
        -2,
    ),
    "handler lost": ("log.handlers.clear(); gc.collect()", 0),
    "logging.shutdown first": ("logging.shutdown()", 0),
    "SIGTERM turned into an exit": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)",
        0,
    ),
}


@pytest.mark.parametrize(
    ("end", "spool"), [*((end, "auto") for end in ENDS), ("return", "off"), ("sys.exit", "off")]
)
def test_every_clean_exit_leaves_all_lines_in_the_files(root, end, spool):
    code, status = ENDS[end]
    done = run(f"attach(spool={spool!r}, flush_interval=30)\nwrite(0, 50)\n{code}\n", root, check=False)
    assert done.returncode == status, done.stderr
    assert_once(root, names(0, 60 if "thread" in end else 50))
    assert not rings(root)


def test_records_of_exit_callbacks_registered_before_ours_are_written(root):
    run(
        "atexit.register(write, 10, 20)\natexit.register(lambda: llm_logging.LLMFileHandler)\nattach()\nwrite(0, 10)\n"
        "atexit.register(write, 20, 30)",
        root,
    )
    assert_once(root, names(0, 30))
    assert not rings(root)


def test_a_first_record_in_an_exit_callback_is_written(root):
    run("attach()\natexit.register(write, 0, 5)\n", root)
    assert_once(root, names(0, 5))
    assert not rings(root)


def test_a_handler_made_in_an_exit_callback_writes(root):
    run("def late():\n    attach()\n    write(0, 5)\natexit.register(late)\n", root)
    assert_once(root, names(0, 5))
    assert not rings(root)


def test_finalisers_at_interpreter_shutdown_log(root):
    code = "attach()\nclass Last:\n    def __del__(self):\n        write(1, 2)\nlast = Last()\nwrite(0, 1)\n"
    run(code, root)
    assert_once(root, names(0, 2))
    assert not rings(root)


def test_a_handler_closed_by_another_dict_config_still_writes_what_is_logged_to_it(root):
    code = """
handler = attach()
write(0, 20)
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
write(20, 40)
handler.handle(logging.makeLogRecord({"msg": "m40", "levelno": 20, "levelname": "INFO", "name": "app"}))
"""
    run(code, root)
    assert_once(root, names(0, 41))
    assert not rings(root)


def test_dict_config_over_a_busy_handler_does_not_wait_for_a_writer_that_waits_for_it(root):
    # dictConfig holds logging's lock while it closes handlers; the writer must open files without it.
    code = """
for turn in range(20):
    handler = attach(flush_interval=0)
    for number in range(30):
        log.info("m%d", turn * 30 + number, extra={"project_id": f"p{turn}-{number}"})
    began = time.monotonic()
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    assert time.monotonic() - began < 3, time.monotonic() - began
    log.removeHandler(handler)
"""
    run(code, root)
    assert_once(root, names(0, 600))


@pytest.mark.parametrize(
    ("method", "end"),
    [
        ("fork", ""),
        ("fork", "sys.exit(2)"),
        ("fork", "raise ValueError"),
        ("spawn", ""),
        ("forkserver", "raise ValueError"),
    ],
)
def test_children_of_multiprocessing_write_all(root, tmp_path, method, end):
    script = tmp_path / "job.py"
    script.write_text(
        f"""
import logging, multiprocessing, sys
from llm_logging import LLMFileHandler
def job(root, number):
    sys.stderr = open("/dev/null", "w")
    log = logging.getLogger("app")
    if not log.handlers:
        log.addHandler(LLMFileHandler(root, flush_interval=30))
    log.setLevel(10)
    for n in range(20):
        log.info("m%d", number * 20 + n)
    {end or "pass"}
if __name__ == "__main__":
    log = logging.getLogger("app")
    log.setLevel(10)
    log.addHandler(LLMFileHandler(sys.argv[1], flush_interval=30))
    for n in range(20):
        log.info("m%d", n)
    context = multiprocessing.get_context({method!r})
    children = [context.Process(target=job, args=(sys.argv[1], n)) for n in range(1, 4)]
    [child.start() for child in children]
    [child.join() for child in children]
"""
    )
    run(f"import subprocess; subprocess.run([sys.executable, {str(script)!r}, root], check=True)", root)
    assert_once(root, names(0, 80))
    assert not rings(root)


def test_a_clean_close_is_noted_with_the_last_number_of_each_file(root):
    run("attach()\nwrite(0, 7)\nlog.info('x', extra={'project_id': 'shop'})", root)
    (note,) = [json.loads(line) for line in (root / ".writers.jsonl").read_text().splitlines()]
    assert note["closed"] is True
    assert note["files"] == {"logs/system.jsonl": 7, "projects/shop/logs/events.jsonl": 1}
    assert set(messages(root)) == set(names(0, 7))


def test_the_note_counts_what_was_logged_after_closing(root):
    run(
        "attach()\natexit.register(write, 10, 12)\nhandler = log.handlers[0]\nwrite(0, 3)\nhandler.close()\nwrite(3, 5)",
        root,
    )
    notes = [json.loads(line) for line in (root / ".writers.jsonl").read_text().splitlines()]
    assert notes[-1]["files"] == {"logs/system.jsonl": 7}
