"""Forks at any moment, in any thread: no deadlock, no line twice, none lost, true numbers."""

from __future__ import annotations

import pytest

from tests.processes import assert_once, reopen, rings, run


def test_forks_in_threads_while_others_log(root):
    code = """
handler = attach(max_bytes=50_000, overflow_wait=60)
stop = False
def noise(name):
    n = 0
    while not stop:
        log.info("%s%d", name, n)
        n += 1
        if n % 20 == 0:
            time.sleep(0.002)
    counts[name] = n
counts = {}
threads = [threading.Thread(target=noise, args=(c,)) for c in "ab"]
[thread.start() for thread in threads]
def forks(name):
    for n in range(60):
        pid = os.fork()
        if not pid:
            log.info("%s%d", name, n)
            if n % 2:
                handler.flush()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
forkers = [threading.Thread(target=forks, args=(c,)) for c in "xy"]
[thread.start() for thread in forkers]
[thread.join() for thread in forkers]
stop = True
[thread.join() for thread in threads]
print(counts["a"], counts["b"])
"""
    a, b = map(int, run(code, root, timeout=120).stdout.split())
    reopen(root)
    assert_once(
        root,
        [f"a{n}" for n in range(a)]
        + [f"b{n}" for n in range(b)]
        + [f"{c}{n}" for c in "xy" for n in range(60)],
    )


@pytest.mark.slow
def test_thousands_of_forks(root):
    code = """
attach(flush_interval=0)
busy = threading.Thread(target=write, args=(0, 200_000, "n"), daemon=True)
busy.start()
for n in range(3000):
    pid = os.fork()
    if not pid:
        log.info("c%d", n)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
busy.join()
"""
    run(code, root, timeout=280)
    reopen(root, 120)
    assert_once(root, [f"n{n}" for n in range(200_000)] + [f"c{n}" for n in range(3000)])


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)", "os.kill(os.getpid(), 9)", "raise ValueError"])
def test_a_child_writes_its_own_lines_and_none_of_its_parents(root, end):
    code = f"""
attach(flush_interval=30)
write(0, 20)
pid = os.fork()
if not pid:
    write(0, 20, "c")
    {end}
os.waitpid(pid, 0)
write(20, 40)
"""
    run(code, root)
    reopen(root)
    assert_once(root, [f"m{n}" for n in range(40)] + [f"c{n}" for n in range(20)])


def test_grandchildren_and_a_parent_that_ends_first(root):
    code = """
attach(flush_interval=30)
for depth in range(4):
    log.info("d%d", depth)
    if os.fork():
        break
time.sleep(0.1 * depth)
"""
    run(code, root)
    import time

    deadline = time.monotonic() + 10
    while rings(root) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert_once(root, [f"d{n}" for n in range(4)])


def test_a_fork_inside_a_signal_handler_that_interrupts_logging(root):
    code = """
handler = attach()
children, tickets = [], iter(range(1000))
def fork(*_):
    ticket = next(tickets)
    pid = os.fork()
    if not pid:
        log.info("c%d", ticket)
        handler.flush()
        os._exit(0)
    children.append(pid)
signal.signal(signal.SIGALRM, fork)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
n = 0
while len(children) < 40:
    log.info("m%d", n)
    n += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
print(n, len(children))
"""
    n, children = map(int, run(code, root).stdout.split())
    reopen(root)
    assert_once(root, [f"m{i}" for i in range(n)] + [f"c{i}" for i in range(children)])
