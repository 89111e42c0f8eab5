"""Does a run that was killed go on bitwise, and is a checkpoint whole, refused or of this very run?"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkseq import _files
from ntkseq.empirical import fingerprint
from ntkseq.training import checkpoint, sgd
from ntkseq.training.kernel_probe import KernelProbe
from ntkseq.training.loss_probe import LossProbe
from ntkseq.training.probes import MovementProbe

KEY = jax.random.key(5)
OPTIMIZER = optax.adam(0.02)
MOMENTUM = optax.sgd(0.02, momentum=0.9)
NOISY = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(3)), optax.sgd(0.1))
RNG = np.random.default_rng(1)
X, Y = RNG.standard_normal((10, 3)).astype(np.float32), RNG.standard_normal((10, 2)).astype(np.float32)


def affine(params: Any, x: Any) -> Any:
    return params["b"] + jnp.tanh(params["W"]) @ x


def other(params: Any, x: Any) -> Any:
    return params["b"] + jnp.sin(params["W"]) @ x


def start(dtype: Any = np.float32) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"W": jnp.asarray(rng.standard_normal((2, 3)), dtype), "b": jnp.asarray(rng.standard_normal(2), dtype)}


def probes() -> tuple[Any, ...]:
    return MovementProbe(every=4), KernelProbe(affine, X[:5], y=Y[:5], every=9)


def fit(path: pathlib.Path | None = None, **changes: Any) -> sgd.Trained:
    given: dict[str, Any] = dict(
        f=affine, params=start(), data=(X, Y), optimizer=OPTIMIZER, batch=3, steps=40, key=KEY, average="all",
        checkpoint=path, checkpoint_every=None if path is None else 7,
    )  # fmt: skip
    return sgd.train(**(given | changes))


def everything(trained: sgd.Trained) -> dict[str, np.ndarray]:
    """All arrays of a result, by name."""
    found = checkpoint.packed("", (trained.params, trained.average, trained.opt_state))
    found["losses"] = trained.losses
    return found | ({} if trained.history is None else trained.history.state())


def assert_bitwise(one: sgd.Trained, two: sgd.Trained) -> None:
    a, b = everything(one), everything(two)
    assert list(a) == list(b) and one.diverged_at == two.diverged_at
    for name in a:
        assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape), name
        assert a[name].tobytes() == b[name].tobytes(), name


@pytest.fixture
def stages(tmp_path, monkeypatch) -> list[pathlib.Path]:
    """A copy of each checkpoint that a run writes from now on."""
    kept: list[pathlib.Path] = []

    def written(path: pathlib.Path, write: Any) -> None:
        original(path, write)
        kept.append(tmp_path / f"stage{len(kept)}.npz")
        shutil.copy(path, kept[-1])

    original = _files.written
    monkeypatch.setattr(_files, "written", written)
    return kept


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> pathlib.Path:
    """The checkpoint of a run of 7 steps; not to be changed."""
    path = tmp_path_factory.mktemp("short") / "run.npz"
    fit(path, steps=7)
    return path


@pytest.mark.slow
def test_a_run_goes_on_bitwise_from_each_of_its_checkpoints(tmp_path, stages) -> None:
    whole = fit(probes=probes())
    watched = fit(tmp_path / "run.npz", probes=probes())
    assert_bitwise(watched, whole)
    assert len(stages) == 7 and watched.resumed_from is None  # 0, 7, ..., 35, 40
    for i, stage in enumerate(list(stages)):
        resumed = fit(stage, probes=probes())
        assert resumed.resumed_from == min(7 * i, 40)
        assert_bitwise(resumed, whole)
    assert whole.history["kernel"].steps.tolist() == [0, 9, 18, 27, 36]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(dict(optimizer=None, lr=0.1, average=0.5, batch=None), id="the last half"),
        pytest.param(
            dict(optimizer=MOMENTUM, order="replacement", trainable="W"), id="momentum", marks=pytest.mark.slow
        ),
        pytest.param(
            dict(optimizer=NOISY, data=(jnp.asarray(X, jnp.bfloat16), Y), params=start(jnp.bfloat16)),
            id="noise in bfloat16", marks=pytest.mark.slow,
        ),
        pytest.param(
            dict(order="once", batch=1, steps=10, key=jax.random.PRNGKey(1)), id="one pass", marks=pytest.mark.slow
        ),
    ],
)  # fmt: skip
def test_other_settings_go_on_bitwise_too(tmp_path, stages, changes: dict[str, Any]) -> None:
    whole = fit(**changes)
    fit(tmp_path / "run.npz", **changes)
    for stage in list(stages):
        assert_bitwise(fit(stage, **changes), whole)
    assert len(stages) > 2


@pytest.mark.slow
def test_a_finished_run_returns_at_once_and_can_be_made_longer(tmp_path) -> None:
    path = tmp_path / "run.npz"
    fit(path, steps=20, probes=probes())
    at = path.stat().st_mtime_ns
    done = fit(path, steps=20, probes=probes())
    assert done.resumed_from == done.step == 20 and path.stat().st_mtime_ns == at
    longer = fit(path, probes=probes(), checkpoint_every=11)
    assert longer.resumed_from == 20
    assert_bitwise(longer, fit(probes=probes()))
    with pytest.raises(ValueError, match=r"steps must be at least 40, where .*run.npz is already; got 30"):
        fit(path, steps=30, probes=probes())


@pytest.mark.slow
def test_an_average_goes_on_only_where_its_iterates_are_known(tmp_path) -> None:
    path = tmp_path / "run.npz"
    fit(path, steps=20, average=0.5)
    with pytest.raises(ValueError, match=r"average over the steps 15..29 needs iterates.*begins at step 10"):
        fit(path, steps=30, average=0.5)
    assert_bitwise(fit(path, steps=40, average=0.5), fit(steps=40, average=0.5))


@pytest.mark.slow
def test_a_run_that_diverged_stays_so(tmp_path) -> None:
    path = tmp_path / "run.npz"
    changes = dict(optimizer=None, lr=1e30, data=(X, 1e10 * Y))
    first = fit(path, **changes)
    assert first.diverged_at is not None
    written = path.stat().st_mtime_ns
    again = fit(path, **changes)
    assert again.resumed_from == first.diverged_at and path.stat().st_mtime_ns == written
    assert_bitwise(again, first)


@pytest.mark.slow(but=["changes8-another run: lr was None and is 0.1.*state of the optimizer"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(data=(2 * X, Y)), "another run: x was .*float32.10, 3. .* and is"),
        (dict(data=(X, -Y)), "another run: y was"),
        (dict(params={**start(), "b": jnp.ones(2)}), "another run: params was.*f and loss at the start was"),
        (dict(key=jax.random.key(6)), "another run: key was"),
        (dict(batch=2), "another run: batch was 3 and is 2"),
        (dict(order="replacement"), "another run: order was shuffle and is replacement"),
        (dict(average=None), "another run: average was 1.0 and is 0.0"),
        (dict(loss=lambda f, y: jnp.sum(f * f)), "another run: loss was squared and is .*lambda"),
        (dict(optimizer=None, lr=0.1), "another run: lr was None and is 0.1.*state of the optimizer"),
        (dict(optimizer=optax.adam(0.03)), "another run: steps of the optimizer in a trial was"),
        (dict(optimizer=optax.adam(0.02, b1=0.5)), "another run: steps of the optimizer in a trial was"),
        (dict(optimizer=MOMENTUM), "another run: state of the optimizer was"),
        (dict(trainable="W"), "another run: trained leaves was"),
        (dict(probes=(MovementProbe(),)), "another run: probes was None and is .*movement"),
        (dict(f=other), "another run: f and loss at the start was"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_says_in_what(short, changes: Any, message: str) -> None:
    path = short
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"run.npz is the checkpoint of {message}"):
        fit(path, **changes)
    assert path.read_bytes() == before


def twice(prediction: Any, y: Any) -> Any:
    return jnp.sum((prediction - y) ** 2)


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> pathlib.Path:
    """The checkpoint of a run of 7 steps with probes; not to be changed."""
    path = tmp_path_factory.mktemp("watched") / "run.npz"
    fit(path, steps=7, probes=(*probes(), LossProbe(affine, {"train": (X, Y)}, loss="squared")))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "probe", "message"),
    [
        (0, MovementProbe(every=5), r"probes.movement.every was 4 and is 5\."),
        (
            0,
            MovementProbe(every=4, name="way"),
            r"probes.way was None and is .*; probes.movement was .* and is None",
        ),
        (
            1,
            KernelProbe(affine, X[1:6], y=Y[:5], every=9),
            r"probes.kernel.x was \['float32\[5, 3.* and is .*[^;]$",
        ),
        (1, KernelProbe(affine, X[:5], y=Y[1:6], every=9), "probes.kernel.y was"),
        (
            1,
            KernelProbe(affine, X[:5], every=9),
            "probes.kernel.what it computes.*; probes.kernel.y was .* and is None",
        ),
        (1, KernelProbe(other, X[:5], y=Y[:5], every=9), "probes.kernel.what it computes"),
        (
            1,
            KernelProbe(affine, X[:5], y=Y[:5], every=9, trainable="W"),
            "probes.kernel.trainable was None and is W",
        ),
        (2, LossProbe(affine, {"train": (X, 2 * Y)}, loss="squared"), "probes.loss.sets"),
        (2, LossProbe(affine, {"train": (X, Y)}, loss=twice), "probes.loss.loss was squared and is function"),
    ],
)
def test_rows_of_other_probes_are_not_added_to_those_of_a_checkpoint(watched, number, probe, message) -> None:
    before = watched.read_bytes()
    given = [*probes(), LossProbe(affine, {"train": (X, Y)}, loss="squared")]
    given[number] = probe
    with pytest.raises(ValueError, match=f"run.npz is the checkpoint of another run: {message}"):
        fit(watched, probes=given)
    assert watched.read_bytes() == before


@pytest.mark.slow
def test_a_loss_of_the_same_name_with_another_body_is_another_run(tmp_path) -> None:
    path = tmp_path / "run.npz"
    fit(path, steps=7, loss=twice)
    imitation = lambda prediction, y: 0.99 * twice(prediction, y)  # noqa: E731
    imitation.__qualname__ = "twice"
    with pytest.raises(ValueError, match="another run: f and loss at the start was"):
        fit(path, loss=imitation)
    assert fit(path, loss=twice).resumed_from == 7


ANCHOR = start()


def centred(activation: Any) -> Any:
    """0 at the start."""
    out = lambda params, x: params["b"] + activation(params["W"] @ x)  # noqa: E731
    return lambda params, x: out(params, x) - out(ANCHOR, x)


def later(step: int) -> Any:
    return optax.sgd(optax.piecewise_constant_schedule(0.1, {step: 0.1}))


TANH = centred(jnp.tanh)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (dict(f=TANH), dict(f=centred(jax.nn.relu)), "what f computes had .*tanh.* and has .*max"),
        (
            dict(f=TANH, loss=lambda f, y: jnp.sum((f - y) ** 2) / 2),
            dict(f=TANH, loss=lambda f, y: jnp.sum((f - y) ** 2) * 0.5),
            "what the loss computes had .*div",
        ),
        (dict(optimizer=later(10)), dict(optimizer=later(30)), "what the optimizer computes has the same operations"),
        (
            dict(optimizer=optax.adamw(1e-3, weight_decay=0.0)),
            dict(optimizer=optax.adamw(1e-3, weight_decay=1e-7)),
            "what the optimizer computes",
        ),
    ],
)
def test_a_run_that_differs_only_later_or_elsewhere_is_another_run(tmp_path, one, two, message: str) -> None:
    path = tmp_path / "run.npz"
    fit(path, **({"steps": 7, "average": None} | one))
    with pytest.raises(ValueError, match=rf"another run: {message}"):
        fit(path, **({"average": None} | two))
    assert fit(path, **({"steps": 7, "average": None} | one)).resumed_from == 7


@pytest.mark.slow
def test_other_equations_under_another_version_of_jax_are_said_and_not_refused(tmp_path, monkeypatch) -> None:
    path = tmp_path / "run.npz"
    fit(path, f=TANH, steps=7)
    monkeypatch.setattr(fingerprint, "_version", lambda name: "99" if name == "jax" else "1")
    with pytest.warns(
        UserWarning, match=r"run.npz was written by jax .*, now 99.* whether what f computes is what it was"
    ):
        fit(path, f=lambda params, x: 1.0 * TANH(params, x), steps=7)
    with pytest.raises(ValueError, match="another run: y was"):
        fit(path, f=TANH, steps=7, data=(X, -Y))
    assert fit(path, f=TANH, steps=7).resumed_from == 7  # the same equations: no word


@pytest.mark.slow
def test_another_precision_or_version_is_another_run(tmp_path, monkeypatch) -> None:
    path = tmp_path / "run.npz"
    fit(path, steps=7)
    with jax.enable_x64(True), pytest.raises(ValueError, match=r"params was .*float32.* and is .*float64"):
        fit(path, params=start(np.float64), data=(X.astype(np.float64), Y))
    monkeypatch.setattr(checkpoint, "version", lambda: "99")
    with pytest.raises(ValueError, match=r"another run: version was .* and is 99"):
        fit(path)


@pytest.mark.slow
def test_a_damaged_file_is_named_or_harmless(tmp_path) -> None:
    path = tmp_path / "run.npz"
    fit(path, steps=7)
    good, settings = path.read_bytes(), saved_settings(path)
    arrays = checkpoint.read(path, settings)
    for cut in (0, 1, 100, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(ValueError, match=r"run.npz is no whole checkpoint.*Remove it"):
            fit(path, steps=7)
    refused, places = 0, np.random.default_rng(0).integers(0, len(good), 150)
    for place in places:
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        try:
            found = checkpoint.read(path, settings)
        except ValueError as error:
            refused += 1
            assert "run.npz" in str(error)
        else:  # a date or the like in the zip, or a name: then the array is missed by that name
            known = {name: array for name, array in found.items() if name in arrays}
            assert all(array.tobytes() == arrays[name].tobytes() for name, array in known.items())
    assert refused > len(places) // 2
    np.savez(path, a=np.ones(3))
    with pytest.raises(ValueError, match=r"run.npz is no whole checkpoint"):
        fit(path)


def saved_settings(path: pathlib.Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as held:
        return json.loads(str(held["about"]))["settings"]


def test_a_place_that_cannot_be_written_shows_before_the_first_step(tmp_path) -> None:
    with pytest.raises(OSError, match=r"run.npz cannot be written .No such file"):
        fit(tmp_path / "nowhere" / "run.npz", f=affine)
    with pytest.raises(ValueError, match=r"checkpoint must be the path of an .npz file"):
        (tmp_path / "folder.npz").mkdir()
        fit(tmp_path / "folder.npz")


def test_a_full_disk_leaves_the_checkpoint_before_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "run.npz"
    fit(path, steps=14)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
        with pytest.raises(OSError, match=r"run.npz cannot be written .*Nothing was changed there"):
            fit(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["run.npz"]
    assert fit(path).resumed_from == 14


def test_what_a_killed_write_left_is_swept_up_and_the_rest_is_not(tmp_path) -> None:
    path = tmp_path / "run.npz"
    (tmp_path / ".run.npz-abc.part").write_bytes(b"half")
    (tmp_path / ".other.npz-abc.part").write_bytes(b"of another run")
    fit(path, steps=7)
    assert sorted(os.listdir(tmp_path)) == [".other.npz-abc.part", "run.npz"]


KILLED = """
import sys, types
sys.path.insert(0, {folder!r})
tests = sys.modules["tests"] = types.ModuleType("tests")  # a package of this name may be installed, and would win
tests.__path__ = [{folder!r} + "/.."]
import test_checkpoint as t
trained = t.fit(t.pathlib.Path({path!r}), steps=3000, probes=t.slow_probes(), checkpoint_every=3)
"""


def slow_probes() -> tuple[Any, ...]:
    return MovementProbe(every=4), KernelProbe(affine, X[:5], y=Y[:5], every=100)


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_bitwise_as_if_it_had_not_been(tmp_path) -> None:
    path = tmp_path / "run.npz"
    code = KILLED.format(folder=str(pathlib.Path(__file__).parent), path=str(path))
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    rng = np.random.default_rng()  # truly random: another moment in every run of the test
    seen = []
    for _ in range(4):
        run = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=tmp_path)
        began = at(path)
        while at(path) in (began, -1, 0) and run.poll() is None:
            time.sleep(0.05)  # until it writes
        time.sleep(float(rng.uniform(0.0, 0.7)))
        run.send_signal(signal.SIGKILL)
        assert run.wait() in (-signal.SIGKILL, 0)
        seen.append(at(path))
    assert sorted(seen) == seen and len({0, *seen} - {3000}) > 2, seen  # it was killed in the middle, several times
    resumed = fit(path, steps=3000, probes=slow_probes(), checkpoint_every=3)
    assert resumed.resumed_from == seen[-1]
    assert_bitwise(resumed, fit(steps=3000, probes=slow_probes()))
    assert os.listdir(tmp_path) == ["run.npz"]


def at(path: pathlib.Path) -> int:
    """The step of a checkpoint; it must be whole at any moment."""
    if not path.exists():
        return -1
    with np.load(path, allow_pickle=False) as held:
        return len(held["run/losses"])
