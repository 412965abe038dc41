"""Every framework the harness knows, told without importing any of them.

Adding a framework is one folder beside this file, with a module for each loop that exports ``ENGINE``, and one entry in
``_CATALOGUE``. The contract suite in ``tests/contract`` picks it up from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from bench.engines.base import Engine
from bench.engines.keras.variables import variables as keras_variables
from bench.engines.pytorch.variables import variables as pytorch_variables
from bench.errors import UsageError

LOOPS = ("idiomatic", "eager", "compiled", "fused")
DEVICES = ("cpu", "gpu", "tpu")

# Major versions of the packages that the engines are written for.
_MAJOR = {"torch": ("2",), "keras": ("3",), "tensorflow": ("2",), "jax": ("0",), "numpy": ("1", "2")}

# Read by OpenMP, BLAS libraries and their friends at import; a joblib or batch system's values must not leak through.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One framework on one backend.

    Attributes:
        modules: the module of each loop, by the loop's name.
        fastest: the loop that ``loop=fastest`` stands for.
        required: packages that must be importable.
        template: what a template process imports, all of it without starting a runtime; in this order.
        devices: where it can run at all.
        not_elsewhere: why not on the other devices.
        missing: why a loop that is not there cannot be had, by the loop's name.
        variables: what must be in the environment before the import, given threads and device.
    """

    modules: dict[str, str]
    fastest: str
    required: tuple[str, ...]
    template: tuple[str, ...]
    devices: tuple[str, ...]
    not_elsewhere: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    variables: Callable[[int, str], dict[str, str]]


def _loops(folder: str, *loops: str) -> dict[str, str]:
    return {loop: f"bench.engines.{folder}.{loop}" for loop in loops}


_KERAS_TPU = "Keras reaches a TPU through framework.backend=jax (TensorFlow's last TPU release was 2.19.1)"

_JAX_EAGER = (
    "JAX differentiates by tracing, anew in every step, and runs each operation as a program of its own, so that a "
    "step op by op was measured to take tens of times as long as one of model.fit"
)

_CATALOGUE: dict[str, dict[str | None, Variant]] = {
    "pytorch": {
        None: Variant(
            modules=_loops("pytorch", "idiomatic", "eager", "compiled", "fused"),
            fastest="fused",
            required=("torch",),
            # The first torch optimizer imports torch._dynamo, for more than a second.
            template=("torch", "torch._dynamo"),
            devices=DEVICES,
            variables=pytorch_variables,
        )
    },
    "keras": {
        "tensorflow": Variant(
            modules=_loops("keras", "idiomatic") | _loops("keras.tensorflow", "eager", "compiled", "fused"),
            fastest="fused",
            required=("keras", "tensorflow"),
            template=("tensorflow", "keras"),
            devices=("cpu", "gpu"),
            not_elsewhere=_KERAS_TPU,
            variables=lambda threads, device: keras_variables("tensorflow", threads, device),
        ),
        "jax": Variant(
            modules=_loops("keras", "idiomatic") | _loops("keras.jax", "compiled", "fused"),
            fastest="fused",
            required=("keras", "jax"),
            template=("jax", "keras"),
            devices=DEVICES,
            missing={"eager": _JAX_EAGER},
            variables=lambda threads, device: keras_variables("jax", threads, device),
        ),
        "torch": Variant(
            modules=_loops("keras", "idiomatic") | _loops("keras.torch", "eager", "compiled", "fused"),
            fastest="fused",
            required=("keras", "torch"),
            template=("torch", "torch._dynamo", "keras"),
            devices=("cpu", "gpu"),
            not_elsewhere=_KERAS_TPU,
            variables=lambda threads, device: (
                pytorch_variables(threads, device) | keras_variables("torch", threads, device)
            ),
        ),
    },
    "reference": {
        None: Variant(
            modules={"eager": "bench.engines.reference"},
            fastest="eager",
            required=("numpy",),
            template=("numpy",),
            devices=("cpu",),
            not_elsewhere="NumPy computes on the cpu only",
            variables=lambda threads, device: {},
        )
    },
}

FRAMEWORKS = tuple(_CATALOGUE)
BACKENDS: dict[str, tuple[str | None, ...]] = {name: tuple(variants) for name, variants in _CATALOGUE.items()}


def engine_class(framework: str, backend: str | None, loop: str) -> type[Engine]:
    """The engine's class; its framework is imported now.

    Raises:
        ImportError: the framework is not installed here, or in a version that the engines are not written for.
        UsageError: there is no such engine.
    """
    if reason := why_not(framework, backend, loop, "cpu"):
        raise UsageError(reason)
    for package in required_modules(framework, backend):
        check_version(package, getattr(import_module(package), "__version__", None))
    engine: type[Engine] = import_module(variant(framework, backend).modules[loop]).ENGINE
    return engine


def check_version(package: str, version: str | None) -> None:
    """Compares the version that was imported with those that the engines are written for.

    Raises:
        ImportError: it is another one.
    """
    major = _MAJOR.get(package)
    if major is None or (version or "").split(".")[0] in major:
        return
    found = f"{package} {version}" if version else f"{package} without a version: its installation is damaged"
    raise ImportError(f"it imports {found}; the engines are written for {package} {' and '.join(major)}")


def why_not(framework: str, backend: str | None, loop: str, device: str) -> str | None:
    """Why this combination cannot exist anywhere, in words; None where it can."""
    if framework not in _CATALOGUE:
        return f"there is no framework {framework}; there are {_list(FRAMEWORKS)}"
    if backend not in _CATALOGUE[framework]:
        return _no_backend(framework, backend)
    found = variant(framework, backend)
    name = _name(framework, backend)
    if loop not in found.modules:
        because = f": {found.missing[loop]}" if loop in found.missing else ""
        return f"{name} has no loop {loop}{because}; it has {_list(found.modules)}"
    if device not in DEVICES:
        return f"there is no device {device}; there are {_list(DEVICES)}"
    if device not in found.devices:
        return f"{name} cannot run on {device}: {found.not_elsewhere}"
    return None


def variant(framework: str, backend: str | None) -> Variant:
    """The catalogue's entry of a framework on a backend.

    Raises:
        UsageError: there is none.
    """
    try:
        return _CATALOGUE[framework][backend]
    except KeyError:
        raise UsageError(
            f"there is no framework {_name(framework, backend)}", f"frameworks are {_list(FRAMEWORKS)}"
        ) from None


def default_backend(framework: str, device: str = "cpu") -> str | None:
    """The first backend that can run on ``device``; the first of all where none can."""
    variants = _CATALOGUE[framework]
    return next((name for name, found in variants.items() if device in found.devices), next(iter(variants)))


def fastest(framework: str, backend: str | None) -> str:
    """The loop that ``fastest`` stands for."""
    return variant(framework, backend).fastest


def required_modules(framework: str, backend: str | None) -> tuple[str, ...]:
    """Packages that must be there, for ``importlib.util.find_spec``."""
    return variant(framework, backend).required


def template_modules(framework: str, backend: str | None) -> tuple[str, ...]:
    """What a template process imports before the engines, in order; none of it starts a runtime."""
    return variant(framework, backend).template


def environment_variables(framework: str, backend: str | None, threads: int, device: str = "cpu") -> dict[str, str]:
    """What must be in the environment before the framework is imported: threads first, then the framework's own."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads)) | variant(framework, backend).variables(threads, device)


def _no_backend(framework: str, backend: str | None) -> str:
    known = [name for name in BACKENDS[framework] if name]
    if backend is None:
        return f"{framework} needs a backend; it has {_list(known)}"
    if not known:
        return f"{framework} has no backends, so none can be {backend}"
    return f"{framework} has no backend {backend}; it has {_list(known)}"


def _name(framework: str, backend: str | None) -> str:
    return f"{framework} on {backend}" if backend else framework


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
