"""Does each short name give the kernel of its class, with the settings that were given and no others?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import blocks, cells, kernels
from ntkseq.kernels import catalogue

X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)


@pytest.mark.slow(but=["linear"])
@pytest.mark.parametrize("name", kernels.names())
def test_every_name_gives_a_kernel_that_is_symmetric_on_sequences_or_vectors(name):
    few = {"particles": 16} if name in ("gru", "lstm") else {}
    x = X.reshape(3, -1) if catalogue.ENTRIES[name].vectors else X
    K = np.asarray(kernels.get(name, **few)(x))
    assert K.shape == (3, 3) and np.isfinite(K).all() and np.allclose(K, K.T, rtol=1e-5)


@pytest.mark.slow(but=["named0-wanted0"])
@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        (kernels.get("recurrent", sigma_w=1.2, read="last"), kernels.Recurrent(sigma_w=1.2, read="last")),
        (kernels.get("lstm", forget=1.0, particles=16), kernels.Gated(cells.LSTM(forget=1.0), particles=16)),
        (kernels.get("transformer", depth=2, causal=True), kernels.Transformer(depth=2, causal=True)),
        (
            kernels.get("gru", depth=2, direction="both", train="WR", particles=16, batches=2),
            kernels.Serial(
                *(blocks.Recurrent(cells.GRU(train="W"), "both"),) * 2, read="last", particles=16, batches=2
            ),
        ),
        (
            kernels.get("gru", train="U", particles=16),
            kernels.Gated(cells.GRU(train="U"), particles=16, train_readout=False),
        ),
        (
            kernels.get("lru", depth=2, r_max=0.9, sigma_w=1.1, activation="erf", read="last"),
            kernels.Serial(
                *(blocks.Recurrent(cells.LRU(r_max=0.9)), blocks.Linear(1.1), "erf") * 2, read="last"
            ),
        ),
        (
            kernels.get("s4d", states=8),
            kernels.Serial(blocks.Linear(), blocks.Recurrent(cells.S4D(states=8)), blocks.Linear(2**0.5), "relu"),
        ),
        (kernels.get("convolution", size=2), kernels.Serial(blocks.Convolution(2), "relu")),
    ],
)  # fmt: skip
def test_settings_go_to_the_class_the_cell_or_the_block_that_has_them(named, wanted):
    assert np.array_equal(np.asarray(named(X)), np.asarray(wanted(X)))


def test_a_kernel_is_itself():
    kernel = kernels.Dense()
    assert kernels.get(kernel) is kernel


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: kernels.get("gruu"), "no kernel 'gruu'. Did you mean gru?"),
        (lambda: kernels.get("zzz"), "no kernel 'zzz'; there are recurrent, dense, gru"),
        (lambda: kernels.get("gru", partcles=8), "kernel 'gru' has no 'partcles'. Did you mean particles"),
        (lambda: kernels.get("gru", sigma_w=-1.0), "sigma_w must be"),
        (lambda: kernels.get("lru", depth=0), "depth must be an integer >= 1"),
        (lambda: kernels.get(kernels.Dense(), depth=2), "depth goes with a name"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_near(call, said):
    with pytest.raises(ValueError) as raised:
        call()
    assert said in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "use"), [("GRU", r'Gated\("gru"\)'), ("S4D", r"Serial\(blocks.Recurrent\(cells.S4D")])
def test_a_kernel_that_has_another_name_here_is_told(name, use):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'. Use {use}"):
        getattr(kernels, name)
    assert not hasattr(kernels, "nothing")
