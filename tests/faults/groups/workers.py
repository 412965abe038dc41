"""Ends of a worker: once, in the first run of the sweep; the runs after it go on, and a retry finds the fault gone."""

from __future__ import annotations

import re
import signal

import psutil

from tests.faults import interpreters
from tests.faults.checks import survivors
from tests.faults.fault import Fault, Strike
from tests.faults.sweeping import Ended, Scene

GROUP = "worker"
SHORT = ("protocol.timeout_s=3", "protocol.stall_s=3")
STALL = ("protocol.stall_s=1.5",)
LIMIT = 300 << 20

LIMITED = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({LIMIT}, {LIMIT})); "
DAEMON = "os.fork() or (os.setsid(), time.sleep(3600)); time.sleep(0.2); os._exit(7)"
LOUD = "print('x' * 20_000_000, flush=True)"
GARBAGE = "(self / 'outcome.json').write_text('{garbage'); os._exit(0)"
LYING = "(self / 'outcome.json').write_text('{\"status\": \"ok\"}'); os._exit(0)"
HALF = "original(self, *arguments); path = self / 'trace.npz'; path.write_bytes(path.read_bytes()[:200]); os._exit(0)"
NAN = "globals().update(broken=True)"
STAY_NAN = "if globals().get('broken'): self.optimizer.lr = float('nan')"
TEMPLATE_TOO = "os.kill(os.getppid(), signal.SIGKILL); time.sleep(3600)"


def faulty(scene: Scene, fault: str, *, method: str = "Engine.step", after: int = 3, lasting: str = "pass") -> str:
    """The setting of an interpreter whose reference engine does something once, in whichever run comes first.

    What is ``lasting`` it does in every call from then on.
    """
    struck = scene.root / "struck"
    lines = [
        f"if not os.path.exists({str(struck)!r}):",
        f"    open({str(struck)!r}, 'x').close()",
        f"    {fault}",
        lasting,
    ]
    path = interpreters.faulty_python(scene.root / "faulty", "\n        ".join(lines), method=method, after=after)
    return f"framework.python={path}"


def struck(
    fault: str,
    *,
    method: str = "Engine.step",
    after: int = 3,
    lasting: str = "pass",
    plants: tuple[list[object], ...] = (),
) -> Strike:
    """A sweep whose first run has the fault."""

    def strike(scene: Scene) -> Ended:
        ended = scene.sweep(faulty(scene, fault, method=method, after=after, lasting=lasting), plants=plants)
        scene.observe("fault happened", (scene.root / "struck").exists(), "no run met it")
        recorded = len(scene.results())
        scene.observe("every run has its row", recorded == 4, f"{recorded} of 4")
        return ended

    return strike


def ends(
    name: str,
    what: str,
    strike: Strike,
    status: str,
    reason: str,
    *,
    settings: tuple[str, ...] = (),
) -> Fault:
    """The fault of a worker whose run is to be retried."""
    return Fault(
        name=name,
        group=GROUP,
        what=what,
        strike=strike,
        code=3,
        status=status,
        reason=reason,
        words=("r0 reference eager cpu b", status, reason[:18], "bench sweep --resume results/s --retry "),
        resume=("--retry", status),
        settings=settings,
    )


def _killed_from_outside(scene: Scene) -> Ended:
    """Somebody kills the worker process, as the kernel or an operator does."""
    parent = scene.begin(faulty(scene, interpreters.HANG))
    scene.wait_until(lambda: (scene.root / "struck").exists(), parent)
    workers = [process for process in survivors(scene) if is_forked(process)]
    scene.observe("one worker", len(workers) == 1, f"{len(workers)}")
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    return parent.wait()


def is_forked(process: psutil.Process) -> bool:
    """A worker descends from a template, and nothing descends from it."""
    try:
        above = [" ".join(parent.cmdline()) for parent in process.parents()]
        return any(re.search("bootstrap.*template", line) for line in above) and not process.children()
    except psutil.Error:
        return False


FAULTS = [
    ends(
        "raises",
        "an exception in training",
        struck(interpreters.RAISE),
        "error",
        "RuntimeError: planted failure",
    ),
    ends(
        "exits-0",
        "exit(0) without a record",
        struck(interpreters.EXIT_0),
        "crashed",
        "exited with code 0 and left no record",
    ),
    ends("exits-7", "exit(7)", struck(interpreters.EXIT_7), "crashed", "exited with code 7 and left no record"),
    ends("segfault", "SIGSEGV", struck(interpreters.SEGFAULT), "crashed", "SIGSEGV"),
    ends(
        "segfault-spawned",
        "SIGSEGV of a fresh interpreter",
        struck(interpreters.SEGFAULT),
        "crashed",
        "SIGSEGV",
        settings=("protocol.isolation=spawn",),
    ),
    ends("killed", "SIGKILL from outside", _killed_from_outside, "crashed", "SIGKILL"),
    ends(
        "stopped",
        "SIGSTOP: no sign of life",
        struck(interpreters.STOP),
        "timeout",
        "protocol.stall_s = 1.5 s",
        settings=STALL,
    ),
    ends(
        "hangs",
        "sleeps for ever",
        struck(interpreters.HANG),
        "timeout",
        "protocol.stall_s = 1.5 s",
        settings=STALL,
    ),
    ends(
        "hangs-spawned",
        "a fresh interpreter sleeps for ever",
        struck(interpreters.HANG),
        "timeout",
        "protocol.stall_s = 1.5 s",
        settings=(*STALL, "protocol.isolation=spawn"),
    ),
    ends(
        "spins", "works without end", struck(interpreters.SPIN), "timeout", "protocol.timeout_s = 3 s", settings=SHORT
    ),
    ends(
        "garbage-outcome",
        "leaves an outcome that is no JSON",
        struck(GARBAGE, method="worker.write_outcome", after=0),
        "crashed",
        "no record",
    ),
    ends(
        "lying-outcome",
        "claims to be ok and leaves no trace",
        struck(LYING, method="worker.write_outcome", after=0),
        "crashed",
        "trace cannot be read",
    ),
    ends(
        "half-trace",
        "its trace is cut",
        struck(HALF, method="worker.write_outcome", after=0),
        "crashed",
        "trace cannot be read",
    ),
    ends(
        "leaves-child",
        "leaves a process of its group behind",
        struck(interpreters.LEAVE_CHILD),
        "crashed",
        "exited with code 7",
    ),
    ends(
        "leaves-daemon",
        "leaves a process in a session of its own behind",
        struck(DAEMON),
        "crashed",
        "exited with code 7",
    ),
    ends("with-template", "takes its template with it", struck(TEMPLATE_TOO), "crashed", "vanished with the process"),
    ends("diverges", "losses are no numbers", struck(NAN, after=1, lasting=STAY_NAN), "diverged", "loss"),
    ends(
        "oom-exception",
        "an allocator's exception",
        struck(interpreters.RAISE_MEMORY),
        "oom",
        "can't allocate memory",
    ),
    ends(
        "oom-limit",
        "more than RLIMIT_AS allows",
        struck(f"{LIMITED}__import__('numpy').ones(1 << 30)"),
        "oom",
        "MemoryError",
    ),
    ends(
        "segfault-limit",
        "SIGSEGV far below a memory limit is no want of memory",
        struck(interpreters.SEGFAULT, plants=(["limit_memory", 16 << 30],)),
        "crashed",
        "SIGSEGV",
    ),
    Fault(
        name="loud",
        group=GROUP,
        what="prints 20 MB",
        strike=struck(LOUD),
        code=0,
    ),
]
