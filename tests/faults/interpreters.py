"""Interpreters that misbehave: each is given to a cell as ``framework.python`` and breaks one thing, for real.

The fault is planted from outside, by an executable that patches the reference engine before it runs the very bootstrap
that the supervisor asked for; the harness itself has no switch for tests.
"""

from __future__ import annotations

import sys
from pathlib import Path

_SCRIPT = """#!{python}
import os, signal, sys, time, warnings
if os.path.basename(sys.argv[1]) != "bootstrap.py":  # the plan asks what it can import
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
sys.path.insert(0, os.path.dirname(sys.argv[1]))
import bootstrap
from pathlib import Path
bootstrap.make_importable(Path(sys.argv[1]).resolve().parent.parent)
from bench.engines.reference import ReferenceEager as Engine
from bench.run import worker

original = {method}
calls = 0

def faulty(self, *arguments):
    global calls
    calls += 1
    if calls > {after}:
        {fault}
    return original(self, *arguments)

{method} = faulty
sys.exit(bootstrap.main(sys.argv[2:]))
"""

RAISE = "raise RuntimeError('planted failure')"
RAISE_MEMORY = "raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: you tried to allocate 8 EiB')"
EXIT_0 = "sys.exit(0)"
EXIT_7 = "sys.exit(7)"
HARD_EXIT = "os._exit(9)"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
SEGFAULT = "os.kill(os.getpid(), signal.SIGSEGV)"
HANG = "time.sleep(3600)"
HANG_WITH_CHILD = "os.fork() or time.sleep(3600); time.sleep(3600)"
LEAVE_CHILD = "(child := os.fork()) or time.sleep(3600); print('left', child, flush=True); os._exit(7)"
WORK_FOR_3_S = "calls == 5 and [None for _ in iter(lambda: time.process_time() < 3.0, False)]"
SPIN = "[0 for _ in iter(int, 1)]"
STOP = "os.kill(os.getpid(), signal.SIGSTOP)"
# No fault: an engine that keeps its programs, one for every batch size.
KEEP_PROGRAMS = (
    "Engine.compilation, warm_up = 'cached', Engine.warm_up; Engine.warm_up = lambda self: (warm_up(self), "
    "(self.setup.cache_folder / f'{self.cell.batch_size}.program').touch())"
)
# In C, with Python's lock held: no thread of the worker can do anything meanwhile.
HANG_WITH_THE_LOCK = "__import__('ctypes').PyDLL(None).sleep(3600)"
_CHILD_APART = "__import__('subprocess').Popen(['sleep', '3600'], start_new_session=True)"
HANG_WITH_CHILD_APART = f"{_CHILD_APART}; time.sleep(3600)"
STOP_WITH_CHILD_APART = f"{_CHILD_APART}; {STOP}"
KILL_WITH_CHILD_APART = f"{_CHILD_APART}; {KILL}"
KILL_TEMPLATE_WITH_CHILD_APART = f"{_CHILD_APART}; os.kill(os.getppid(), signal.SIGKILL); time.sleep(3600)"
# A daemon's way: the child in between ends at once, and nobody is the grandchild's parent any more.
HANG_WITH_DAEMON = "(os.fork() or (os.setsid(), os.fork() and os._exit(0), time.sleep(3600))); time.sleep(3600)"
SCRATCH = "__import__('tempfile').mkstemp(dir=__import__('tempfile').mkdtemp())"
GROW = "held = globals().setdefault('held', []); [held.append(b'x' * (8 << 20)) for _ in iter(int, 1)]"
HOLD_300_MB = "globals().setdefault('held', calls == 4 and b'x' * (300 << 20))"
# Memory under a limit of the address space, 200 MB above what the worker takes up as its engine is made. A step then
# touches more and more of it, until an allocation fails: Python's raises, the C library's gives nothing, and who writes
# there dies of SIGSEGV; others give up (SIGABRT).
_LIMITED = (
    "import ctypes, resource; libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p; "
    "libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]; held = []; "
    "limit = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize() + (200 << 20); "
    "resource.setrlimit(resource.RLIMIT_AS, (limit, limit)); Engine.step = lambda self, *_: {step}"
)
GROW_UNTIL_IT_RAISES = _LIMITED.format(step="[held.append(b'x' * (8 << 20)) for _ in iter(int, 1)]")
GROW_UNTIL_IT_SEGFAULTS = _LIMITED.format(step="[libc.memset(libc.malloc(8 << 20), 1, 8 << 20) for _ in iter(int, 1)]")
GROW_UNTIL_IT_ABORTS = _LIMITED.format(
    step="[libc.memset(libc.malloc(8 << 20) or os.abort(), 1, 8 << 20) for _ in iter(int, 1)]"
)
SHARE = (
    "globals().setdefault('shared', __import__('multiprocessing.shared_memory').shared_memory.SharedMemory("
    "create=True, size=4096)); print('shares', shared.name, flush=True); "
    "lib = Path(f'/dev/shm/__KMP_REGISTERED_LIB_{os.getpid()}_0'); lib.touch(); print('shares', lib.name, flush=True)"
)
NO_SPACE = "raise OSError(28, os.strerror(28), str(self))"
READ_ONLY = "raise OSError(30, os.strerror(30), str(self))"
NO_SPACE_FOR_A_COMPILER = "raise RuntimeError('g++: error writing to /tmp/x.s: No space left on device')"
PRINT = "print('words of the engine', flush=True)"


def faulty_python(folder: Path, fault: str, *, method: str = "Engine.step", after: int = 3) -> str:
    """An interpreter in which the reference engine does ``fault`` once ``method`` was called ``after`` times."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python"
    path.write_text(_SCRIPT.format(python=sys.executable, fault=fault, method=method, after=after))
    path.chmod(0o755)
    return str(path)


def script(folder: Path, text: str) -> str:
    """An executable that is no Python at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)
