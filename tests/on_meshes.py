"""A program for four devices of the host: is every matrix the same wherever its arrays lie? Run by test_devices.py."""

from __future__ import annotations

import os
import sys
import tempfile

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import ntkseq
from ntkseq import blocks, bounds, cells, empirical, grams, kernels, predictors, spectra, training
from ntkseq.grams import meshes


def network(params, x):
    return jnp.tanh(x @ params["W"]).sum(0) @ params["V"]


def answers(x, y, params, lengths):
    """Everything that is asked, by name."""
    kernel, ntk = kernels.Recurrent(), empirical.NTK(network, params)
    K = ntkseq.gram(kernel, x)
    history = training.track([training.KernelProbe(network, x, y=y)], params)
    return {
        "gram": K,
        "ragged": ntkseq.gram(kernel, x, lengths=lengths),
        "cross": ntkseq.gram(kernel, x, x),
        "kernel": kernel(x),
        "diag": kernel.diag(x),
        "lazy": grams.lazy(kernel, x).mv(np.ones(len(x), np.float32)),
        "ntk": ntk(x),
        "gram of ntk": ntkseq.gram(ntk, x),
        "spectrum": ntkseq.spectrum(K).values,
        "matrix-free": ntkseq.spectrum(grams.lazy(kernel, x), spectra.MatrixFree(k=2)).values,
        "spectrum of an array": ntkseq.spectrum(kernel(x)).values,
        "rank": ntkseq.effective_rank(ntk(x)),
        "ridge": predictors.ridge(K, y, reg=1e-3)(np.asarray(K)),
        "bound": bounds.rademacher(K, y, delta=0.05).value,
        "tracked": history["kernel"]["max_eigenvalue"],
    }


def dealt(everywhere: bool) -> None:
    """Tiles dealt to the devices of a mesh give the matrix of one device, bit by bit."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((37, 3, 2)).astype(np.float32), np.sign(rng.standard_normal(37))
    ragged, V = rng.integers(1, 4, 37).astype(np.int32), rng.standard_normal((37, 3))
    params = {"W": rng.standard_normal((2, 4)).astype(np.float32), "V": rng.standard_normal((4, 1)).astype(np.float32)}
    ntk = empirical.NTK(network, params)
    explicit = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Explicit,) * 2)
    turned = Mesh(np.array(jax.devices())[::-1], ("c",))
    few = Mesh(np.array(jax.devices()[1:]), ("d",))

    def gram(*given, **options):
        return np.asarray(ntkseq.gram(*given, **options))

    def equal(kernel, mesh, x=x, **options):
        assert (gram(kernel, x, mesh=mesh, **options) == gram(kernel, x, **options)).all(), (kernel, mesh, options)

    kernel = kernels.Recurrent()
    before = meshes._compute.wide._cache_size()
    equal(kernel, explicit, lengths=ragged)
    assert meshes._compute.wide._cache_size() == before + 1  # one program, not one for each device
    equal(kernel, turned, tile=16)
    assert ntkseq.gram(kernel, x, mesh=turned).array.devices() == {jax.devices()[-1]}  # the first of the mesh
    equal(ntk, few, tile=8)
    with tempfile.TemporaryDirectory() as folder:
        long = rng.standard_normal((150, 3, 2)).astype(np.float32)  # three chunks of 64 rows
        stored = ntkseq.gram(kernel, long, store=f"{folder}/K", mesh=few)
        assert len(stored.missing) == 0
        assert (np.asarray(stored) == np.asarray(ntkseq.gram(kernel, long, tile=stored.tile))).all()
    whole, parts = gram(ntk, x), gram(ntk, x, mesh=few)  # other sums
    assert np.abs(whole - parts).max() <= 1e-5 * np.abs(whole).max()
    equal(kernel, few, x=x[:3])  # one tile: two devices have none
    lazy = [grams.lazy(kernel, x, tile=8, **options) for options in ({"workers": 1}, {"mesh": few}, {"mesh": explicit})]
    alone, three, four = (K.times(V) for K in lazy)
    assert (alone == three).all() and (three == four).all() and (lazy[1].times(V) == three).all()
    assert "3 devices" in repr(lazy[1])
    values = [ntkseq.spectrum(K, spectra.MatrixFree(k=2)).values for K in lazy]
    assert (values[0] == values[1]).all() and (values[1] == values[2]).all()
    rows = np.asarray(lazy[0].rows([1, 2]))
    assert (predictors.ridge_cg(lazy[0], y, reg=0.1)(rows) == predictors.ridge_cg(lazy[2], y, reg=0.1)(rows)).all()
    with jax.set_mesh(explicit):  # another one than that of the call, or the same
        equal(kernel, few, tile=8)
        equal(kernel, explicit, tile=8)
        assert (grams.lazy(kernel, x, tile=8, mesh=few).times(V) == alone).all()
    refused = (
        {"x": jax.device_put(x, jax.devices()[0])},
        {"x": x, "x2": jax.device_put(x, NamedSharding(explicit, PartitionSpec()))},
    )
    for given in refused:
        try:
            ntkseq.gram(kernel, **given, mesh=few)
        except ValueError as error:
            assert "must lie on devices of mesh" in str(error) and "\n" not in str(error), error
        else:
            raise AssertionError("inputs on a device that the mesh does not have")
    if everywhere:
        many(equal, explicit, x, rng)


def many(equal, mesh, x, rng) -> None:
    """All sorts of kernels."""
    for kernel in (
        kernels.Gated("gru", particles=64),
        kernels.Serial(blocks.Recurrent(cells.GRU(), "both"), blocks.Linear(), read="last", particles=64),
        kernels.Attention(sigma_qk=0.5),
        kernels.Recurrent(depth=2) + 0.5 * kernels.LeakyRecurrent(),
    ):
        equal(kernel, mesh, tile=8)
    xs = rng.standard_normal((9, 4, 3)).astype(np.float32)
    equal(kernels.Meta(kernels.Dense(), kernels.GD(2, 0.1)), mesh, x=((xs[:, :3], None), xs[:, 3:]), tile=8)
    with jax.enable_x64(True):  # a Python number among the hyper-parameters must not widen float32
        equal(kernels.Recurrent(), mesh, tile=8)
        equal(kernels.Recurrent(), mesh, x=x.astype(np.float64), tile=8)


def main() -> None:
    """Compare all places with one device."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 3, 2)).astype(np.float32), np.sign(rng.standard_normal(8)).astype(np.float32)
    params = {"W": rng.standard_normal((2, 4)).astype(np.float32), "V": rng.standard_normal((4, 1)).astype(np.float32)}
    lengths = np.array([3, 1, 2, 3, 3, 2, 1, 3], np.int32)
    alone = {name: np.asarray(value) for name, value in answers(x, y, params, lengths).items()}

    def same(where, found):
        for name, value in found.items():
            scale = np.abs(alone[name]).max()
            # threads and devices may sum in another order
            assert np.allclose(np.asarray(value), alone[name], atol=1e-5 * scale, rtol=0), (where, name)

    everywhere = "--all" in sys.argv
    dealt(everywhere)
    for count, axes in [(c, a) for c in (1, 2, 4) for a in (AxisType.Auto, AxisType.Explicit)]:
        if count != 4 and not everywhere:
            continue
        mesh = Mesh(np.array(jax.devices()[:count]), ("a",), axis_types=(axes,))
        put = lambda v, *spec: jax.device_put(v, NamedSharding(mesh, PartitionSpec(*spec)))  # noqa: B023, E731
        sharded = put(x, "a"), put(y, "a"), jax.tree.map(put, params), put(lengths, "a")
        if everywhere or axes == AxisType.Explicit:
            same((count, axes, "sharded"), answers(*sharded))
        if everywhere:
            same((count, axes, "replicated"), answers(*jax.tree.map(put, (x, y, params, lengths))))
        with jax.set_mesh(mesh):
            if everywhere or axes == AxisType.Auto:
                same((count, axes, "set_mesh"), answers(x, y, params, lengths))
            if everywhere:
                same((count, axes, "sharded, set_mesh"), answers(*sharded))
                one = lambda v: jax.device_put(v, jax.devices()[0])  # noqa: E731
                same((count, axes, "committed, set_mesh"), answers(*jax.tree.map(one, (x, y, params, lengths))))
        assert len(put(x).devices()) == count  # none was taken out of the set that all arrays of a sharding share
    if everywhere:
        explicit = jax.make_mesh((4,), ("a",), axis_types=(AxisType.Explicit,))
        sharded = jax.device_put(x, NamedSharding(explicit, PartitionSpec("a")))
        with jax.set_mesh(explicit):
            try:
                jax.jit(lambda x: kernels.Recurrent()(x))(sharded)
            except ValueError as error:
                assert "auto_axes" in str(error), error
            else:
                raise AssertionError("a Gram of explicit axes inside a trace")
    print("the same on all")


if __name__ == "__main__":
    main()
