"""Blocks of training steps as native code, compiled ahead of time by PyTorch's own compiler and kept for later runs.

``torch.export`` takes the graph of ``BlockOfSteps`` with autograd's backward pass in it, and AOTInductor turns it into
a shared library that takes tensors and returns tensors: a later process loads it in milliseconds, without tracing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.engines import chunks
from bench.engines.pytorch.block import WRITTEN_OUT_ROWS, BlockOfSteps, Shape
from bench.engines.pytorch.flat import FlatStep
from bench.errors import Unavailable

# Of inductor, for all that is compiled here.
COMPILER_OPTIONS = {
    "assert_indirect_indexing": False,  # the indices are our own counters and a permutation of the rows
    "cpp.enable_floating_point_contract_flag": "fast",  # fused multiply-add: faster, and rounds once instead of twice
    "aot_inductor.precompile_headers": False,  # would leave 300 MB outside our folder
    # A loop that makes no step returns the very buffers it was given, which the compiler believes to be free by then.
    "allow_buffer_reuse": False,
    "inplace_buffers": False,
    "cpp.vec_isa_ok": True,  # believe what the processor says of its vectors: proving it compiles for 8 s
}


class Program:
    """A compiled block of steps.

    Attributes:
        shape: the sizes it was compiled for.
    """

    def __init__(self, shape: Shape, library: Path) -> None:
        self.shape = shape
        self._runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(library), 1)

    def __call__(self, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        """Runs it; arguments and results as in ``BlockOfSteps.forward``."""
        state, losses = self._runner.run(list(arguments))
        return state, losses


def load_or_compile(step: FlatStep, folder: Path | None) -> Program:
    """The program of the step's cell: from ``folder`` where it lies there, else compiled and, with a folder, kept.

    Raises:
        Unavailable: there is no C++ compiler here.
    """
    shape = Shape.of(step.cell)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="bench-compiled-") as scratch:
            return Program(shape, compile_to(Path(scratch) / "program.so", step, shape))
    library = folder / f"{program_key(step, shape)}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        compile_to(library, step, shape)
    return Program(shape, library)


def program_key(step: FlatStep, shape: Shape) -> str:
    """Names a program by all that it was compiled from; the learning rate is an argument, so no part of it."""
    cell = step.cell
    optimizer = asdict(cell.optimizer)
    del optimizer["lr"]
    content = {
        "torch": torch.__version__,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "framework": cell.framework,
        "network": asdict(cell.network),
        "features": cell.data.features,
        "defaults": cell.defaults,
        "optimizer": optimizer,
        "shape": asdict(shape),
        "sizes": [chunks.CHUNK_ROWS, WRITTEN_OUT_ROWS],
    }
    return f"torch-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"


def compile_to(library: Path, step: FlatStep, shape: Shape) -> Path:
    """Compiles to a shared library, built aside and renamed.

    Raises:
        Unavailable: there is no C++ compiler here.
    """
    make_sure_of_a_compiler()
    block = BlockOfSteps(step, shape)
    arguments = _example(step, shape)
    with _scratch_beside(library) as scratch, compiling_quietly(), torch.no_grad():
        from torch._inductor import aot_compile

        exported = torch.export.export(block, arguments)
        built = scratch / "built.so"
        options = COMPILER_OPTIONS | {"aot_inductor.output_path": str(built)}
        aot_compile(exported.module(), arguments, options=options)
        built.replace(library)
    return library


def compile_step(graph: Any, arguments: Sequence[Tensor]) -> Callable[..., Any]:
    """The program of a traced step that changes its arguments in place, kept in the folder that inductor is told of.

    ``torch.compile`` makes the same kernels, but checks at every call that no tensor has changed, which at batch 1
    takes longer than the step.
    """
    with compiling_quietly():
        from torch._functorch import config as functorch_config
        from torch._inductor import standalone_compile

        options = COMPILER_OPTIONS | {"compile_threads": 1}  # with more, a pool of processes stays beside the measured
        with functorch_config.patch(enable_autograd_cache=False):  # it cannot store such a graph, inductor's can
            program: Callable[..., Any] = standalone_compile(
                graph,
                list(arguments),
                dynamic_shapes="from_example_inputs",
                options={"config_patches": options},
            )
    return program


def make_sure_of_a_compiler() -> None:
    """Looks for one before seconds are spent on tracing.

    Raises:
        Unavailable: there is no C++ compiler here.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise Unavailable(
            "PyTorch finds no C++ compiler",
            "a compiled or fused loop on the cpu becomes native code",
            "install g++ (Debian and Ubuntu: apt-get install g++), or name one in the variable CXX",
        ) from error


@contextmanager
def compiling_quietly() -> Iterator[None]:
    """PyTorch's compiler warns, at its import and later, about its own use of what PyTorch has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _scratch_beside(library: Path) -> Iterator[Path]:
    """A folder for everything the compiler writes, beside the library so that it can be renamed into place."""
    variable = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(variable)
    scratch = Path(tempfile.mkdtemp(prefix=".compiling-", dir=library.parent))
    os.environ[variable] = str(scratch)
    try:
        yield scratch
    finally:
        os.environ.pop(variable) if before is None else os.environ.update({variable: before})
        shutil.rmtree(scratch, ignore_errors=True)


def _example(step: FlatStep, shape: Shape) -> tuple[Tensor, ...]:
    """Arguments of the right shapes; the large ones are never read, so the system never gives them memory."""
    n, features, dtype = shape.n_train, step.cell.data.features, step.dtype
    return (
        step.example(1)[0],
        step.coefficients(1.0, shape.steps + 1),
        torch.empty(n, features, dtype=dtype),
        torch.empty(n, 1, dtype=dtype),
        torch.empty(shape.steps * shape.batch_size + shape.short, dtype=torch.int64),
        torch.zeros(2, dtype=torch.int64),
    )
