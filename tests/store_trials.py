"""What may happen to a store, drawn by a seed: a kill, a full disk, a lost or damaged chunk, a second writer.

After each the same call goes on; the matrix is then that of an undisturbed run, bit by bit, and no chunk that was whole
is computed or written again. `python -m tests.store_trials --trials 200` counts the failures.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__)
KINDS = ("kill", "kill", "kill", "truncated", "flipped", "missing", "full disk", "two writers")


def inputs(n: int = 520) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((n, 24, 3)).astype(np.float32)


def call(path: pathlib.Path, slow: float = 0.0) -> Any:
    """The call of all trials; `slow`: seconds that every chunk takes more, so that there is time to be killed in."""
    import ntkseq
    from ntkseq import kernels
    from ntkseq.grams.stores import building, filling

    kernel = kernels.Recurrent(sigma_w=1.3, sigma_b=0.1)
    if not slow:
        return ntkseq.gram(kernel, inputs(), store=path, workers=2, progress=False)

    def fill(chunks: Any, pair: Any, which: Any, workers: Any, tick: Any) -> None:
        filling.fill(chunks, pair, which, workers, lambda count: time.sleep(slow))

    return building.build(kernel, inputs(), None, None, None, store=path, workers=2, progress=False, fill=fill)


class Trials:
    """Trials beside one finished store."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.whole = folder / "whole"
        self.wanted = np.asarray(call(self.whole).dense())

    def run(self, seed: int) -> str:
        """One trial; its kind. AssertionError: it failed."""
        rng = np.random.default_rng(seed)
        kind, path = KINDS[seed % len(KINDS)], self.folder / str(seed)
        shutil.rmtree(path, ignore_errors=True)
        if kind in ("kill", "full disk", "two writers"):
            getattr(self, kind.replace(" ", "_"))(path, rng)
        else:
            shutil.copytree(self.whole, path)
            self.harm(kind, path, rng)
        self.resume(path)
        shutil.rmtree(path)
        return kind

    def kill(self, path: pathlib.Path, rng: np.random.Generator) -> None:
        """SIGKILL at a random moment: at the start, within a chunk, between two, at the end."""
        child = started(path)
        try:
            if rng.random() < 0.85:
                wait(child, path, int(rng.integers(0, 18)))
            time.sleep(float(rng.uniform(0, 0.08)))
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()

    def harm(self, kind: str, path: pathlib.Path, rng: np.random.Generator) -> None:
        from ntkseq import grams

        chunks = grams.open(path).chunks
        i, j = chunks.layout.chunks[rng.integers(len(chunks.layout.chunks))].tolist()
        file = chunks.file(i, j)
        data = bytearray(file.read_bytes())
        if kind == "missing":
            file.unlink()
        elif kind == "truncated":
            file.write_bytes(data[: int(rng.integers(len(data)))])
        else:
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            file.write_bytes(data)
        K = grams.open(path)
        try:
            K.times(np.ones(K.shape[1]))
            raise AssertionError(f"a product went over a chunk that is {kind}")
        except (OSError, ValueError) as error:
            assert f"chunk ({i}, {j})" in str(error), error

    def full_disk(self, path: pathlib.Path, rng: np.random.Generator) -> None:
        """A disk that is full after some chunks: a small file system where one may be mounted, else a limit."""
        few = int(rng.integers(0, 13))  # of 15, of 17 pages each
        with small(path, few * 70_000 + 120_000) as place:
            try:
                call(place / "K")
                raise AssertionError("the disk was not full")
            except OSError as error:
                assert "No space left on device" in str(error) and "\n" not in str(error), error
            assert not list((place / "K").rglob("*.part"))
            shutil.copytree(place / "K", path / "K")
        shutil.copytree(path / "K", path.with_suffix(".whole"))
        shutil.rmtree(path)
        path.with_suffix(".whole").rename(path)

    def two_writers(self, path: pathlib.Path, rng: np.random.Generator) -> None:
        """A second command on the same store is refused and told by whom; the first goes on."""
        child = started(path, slow=0.3)
        wait(child, path, int(rng.integers(1, 10)))
        try:
            call(path)
            assert child.poll() is not None, "two commands filled one store"  # it was through before this one began
        except OSError as error:
            assert f"being filled by process {child.pid} on " in str(error), error
        if rng.random() < 0.5:
            child.send_signal(signal.SIGKILL)  # and its claim falls with it
        child.wait()

    def resume(self, path: pathlib.Path) -> None:
        from ntkseq import grams

        before = {}
        with contextlib.suppress(ValueError):  # no record yet
            K = grams.open(path)
            bad = set(K.chunks.damaged())
            there = K.chunks.there()
            before = {
                (i, j): os.stat(K.chunks.file(i, j)).st_ino
                for i, j in K.chunks.layout.chunks.tolist()
                if there[i, j] and (i, j) not in bad
            }
        found = call(path)
        np.testing.assert_array_equal(np.asarray(found.dense()), self.wanted)
        again = [at for at, inode in before.items() if os.stat(found.chunks.file(*at)).st_ino != inode]
        assert not again, f"chunks {again} were whole and written again"
        assert not [one for one in path.rglob("*") if one.name.endswith(".part")]


def started(path: pathlib.Path, slow: float = 0.02) -> subprocess.Popen[bytes]:
    """Another process that fills the store, some seconds longer for each chunk."""
    command = [sys.executable, str(HERE), "--child", str(path), "--slow", str(slow)]
    return subprocess.Popen(command, cwd=HERE.parent.parent)


def wait(child: subprocess.Popen[bytes], path: pathlib.Path, count: int, seconds: float = 120.0) -> None:
    """Until so many chunks are there, or the process is through."""
    for _ in range(int(seconds / 0.005)):
        if child.poll() is not None:
            assert child.returncode == 0, child.returncode
            return
        if (path / "gram.json").exists() and sum(1 for _ in path.glob("c/*/[0-9]*")) >= count:
            return
        time.sleep(0.005)
    raise AssertionError("the other process did not come so far")


@contextlib.contextmanager
def small(path: pathlib.Path, size: int) -> Iterator[pathlib.Path]:
    """A file system of that many bytes.

    Raises:
        OSError: it cannot be mounted here.
    """
    path.mkdir(parents=True)
    place = path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        raise OSError(f"no small file system can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", type=pathlib.Path)
    parser.add_argument("--slow", type=float, default=0.02)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    if asked.child is not None:
        call(asked.child, slow=asked.slow)
        return 0
    failed, counts = [], collections.Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(pathlib.Path(folder))
        for seed in range(asked.first, asked.first + asked.trials):
            try:
                counts[trials.run(seed)] += 1
            except Exception as error:
                failed.append(seed)
                print(f"{seed} ({KINDS[seed % len(KINDS)]}): {type(error).__name__}: {error}", flush=True)
            if seed % 20 == 19:
                print(f"{seed + 1 - asked.first} trials, {len(failed)} failed", flush=True)
    print(dict(counts), "failed:", failed)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
