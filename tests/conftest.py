"""Under which switches do the tests run?"""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import importlib.metadata

# Half of the tests' time was XLA at work on programs that run once, for a millisecond: it is asked for less of it. A
# flag that jaxlib does not know ends the process, and it drops flags without notice: these were there in 0.10. With
# XLA_FLAGS="" the programs are compiled as for everybody, as they are on the newest jaxlib.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
        " --xla_cpu_parallel_codegen_split_count=1",
    )

import gc
import itertools
import pathlib
import zlib
from collections.abc import Iterator

import hypothesis
import jax
import jaxtyping
import pytest
import scipy.linalg  # noqa: F401  loads the libraries whose threads are limited below
import threadpoolctl

from tests import marks

# Small matrices by the thousand: threads that wait for each other made one test 20 times slower on a busy machine.
threadpoolctl.threadpool_limits(limits=1, user_api="blas")

# What NumPy would quietly promote or broadcast is an error here: most dtype and shape bugs begin there.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Nobody reads which lines of Python an operation of a compiled program came from; errors name theirs as before.
jax.config.update("jax_traceback_in_locations_limit", 0)

# A first call compiles, so no deadline; the same examples every time, so a failure is the change's and not the draw's.
hypothesis.settings.register_profile("ntkseq", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("ntkseq")


MAPS = pathlib.Path("/proc/self/maps")
finished = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs beside pytest's own cache: a second run spares a third of its time.

    One folder per pytest-xdist worker, since the entries are not written atomically.
    """
    cache = getattr(config, "cache", None)  # none with -p no:cacheprovider
    if cache is not None:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        jax.config.update("jax_compilation_cache_dir", str(cache.mkdir(f"jax-{worker}")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.hookimpl(tryfirst=True)  # before pytest itself leaves out what is marked
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks by name of the case; with NTKSEQ_SLOW_PART=1/3, the second third of the slow tests, where time is short.

    The sweep of junk is in every part: any new public name may fail it.
    """
    marks.by_case(items, whole="::" not in "".join(config.args))
    wanted = os.environ.get("NTKSEQ_SLOW_PART")
    if wanted is None:
        return
    part, parts = map(int, wanted.split("/"))
    left_out = [
        item
        for item in items
        if item.get_closest_marker("slow")
        and zlib.crc32(item.nodeid.encode()) % parts != part % parts
        and not item.nodeid.startswith("tests/test_junk.py::")
    ]
    config.hook.pytest_deselected(items=left_out)
    gone = set(left_out)
    items[:] = [item for item in items if item not in gone]


def pytest_collection_finish() -> None:
    """What the modules and tests hold stays to the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def untyped() -> Iterator[None]:
    """As a user runs it: no type checker stands in front of our own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def few_programs() -> Iterator[None]:
    """Compiled programs are dropped in good time: each takes some ten memory maps, and Linux aborts beyond 65530."""
    yield
    if next(finished) % 16 == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > 25_000:
        jax.clear_caches()


@pytest.fixture
def x64() -> Iterator[None]:
    """The test runs in float64: arrays made without a dtype are float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def data_dir(request: pytest.FixtureRequest) -> pathlib.Path:
    """The folder of real data sets that the environment variable NTKSEQ_DATA names."""
    if request.node.get_closest_marker("data") is None:
        pytest.fail(f"{request.node.name} uses data_dir: mark it with @pytest.mark.data.")
    named = os.environ.get("NTKSEQ_DATA")
    if not named:
        pytest.skip("NTKSEQ_DATA is not set: set it to the folder of data sets.")
    folder = pathlib.Path(named)
    if not folder.is_dir():
        pytest.fail(f"NTKSEQ_DATA must name a folder; got {named!r}, which is none.")
    return folder
