"""How much is XLA asked to optimise the programs of tests? Little: most run once, for a millisecond.

Programs with a large array, as of a thousand drawn networks, are optimised a little: they would run for seconds else.
And JAX 0.10 makes a context of MLIR for every program, which takes longer than most programs: it makes fewer.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import re
from collections.abc import Iterator
from typing import Any

JAXLIB = "0.10"
"""Where this is done. On the newest jaxlib programs are compiled as for everybody, so that both are tested."""
# Level 1 is enough for large programs, and one part per program for threads. A flag that jaxlib does not know ends the
# process, and it drops flags without notice: these were there in 0.10.
FLAGS = (
    "--xla_backend_optimization_level=1 --xla_cpu_parallel_codegen_split_count=1 --xla_cpu_use_fusion_emitters=false"
)
LARGE = 16_384
"""Elements of an array that make a program large."""
PROGRAMS = 100
"""How many programs are written into one context of MLIR, which keeps the constants of all of them."""
SHAPE = re.compile(r"tensor<((?:\d+x)+)")


_by_size = True


@contextlib.contextmanager
def one_level() -> Iterator[None]:
    """Programs of any size are optimised alike, as users' are: their last bits are compared."""
    global _by_size
    import jax

    jax.clear_caches()  # what was compiled before
    _by_size = False
    yield
    _by_size = True


def elements(module: Any) -> int:
    """The size of the largest array in a program, given as an MLIR module."""
    text = module.operation.get_asm(large_elements_limit=4, enable_debug_info=False)
    largest = 1
    for shape in set(SHAPE.findall(text)):
        size = 1
        for axis in shape.split("x")[:-1]:
            size *= int(axis)
        largest = max(largest, size)
    return largest


def little() -> None:
    """Ask for little before JAX starts, unless a person has set XLA_FLAGS.

    With XLA_FLAGS="" programs are compiled as for everybody.
    """
    # a process of pytest-xdist has them from the process that started it
    if not importlib.metadata.version("jaxlib").startswith(f"{JAXLIB}."):
        return
    if os.environ.setdefault("XLA_FLAGS", FLAGS) != FLAGS:
        return

    from jax._src import compiler
    from jax._src.interpreters import mlir

    compiled, contexts = compiler.backend_compile_and_load, mlir.make_ir_context

    def compile_and_load(backend: Any, module: Any, devices: Any, options: Any, *rest: Any, **named: Any) -> Any:
        if _by_size and elements(module) < LARGE:
            options.executable_build_options.debug_options.xla_backend_optimization_level = 0
        return compiled(backend, module, devices, options, *rest, **named)

    counted = itertools.count()
    held: list[Any] = []

    def make_ir_context() -> Any:
        if next(counted) % PROGRAMS == 0:
            held[:] = [contexts()]
        return held[0]

    compiler.backend_compile_and_load = compile_and_load
    mlir.make_ir_context = make_ir_context
