"""Is every way of asking for a kernel understood, and what is meant by none of them refused?"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical, kernels
from ntkseq.studies import Study
from ntkseq.studies.kernel_choices import described

X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)

CODE = """
import jax.numpy as jnp
from ntkseq import kernels

KERNEL = kernels.Dense(depth=2)
PAIR = ((lambda p, x: jnp.tanh(x @ p).sum(0)), jnp.ones((2, 3)))
NUMBER = 3

def network(shape):
    t, d = shape
    return (lambda p, x: jnp.tanh(x @ p).sum(0)), jnp.ones((d, 3))

def kernel():
    return KERNEL

def three(a, b, c):
    return KERNEL

def wants(*, width):
    return KERNEL

def takes_all(*shape, **more):
    return KERNEL
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    (tmp_path / "mynet.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(kernel, **settings):
    return Study("digits", kernel=kernel, **settings).kernels


def test_a_list_has_settings_of_each_kernel_and_options_for_those_that_have_them():
    made = asked("gru:particles=64,sigma_w=1.2,dense,lstm:forget=1,depth=1", depth=2, sigma_b=0.3)
    assert [one.name for one in made] == ["gru:particles=64,sigma_w=1.2", "dense", "lstm:forget=1,depth=1"]
    gru, dense, lstm = (one.make((4, 2)) for one in made)
    cell = gru.blocks[1].cell
    assert (len(gru.blocks), gru.particles, cell.sigma_w, cell.sigma_b) == (2, 64, 1.2, 0.3)
    assert dense.depth == 2 and lstm.cell.forget == 1 and lstm.cell.sigma_w == 1.4
    shown = "GRU NTK, 2 layers, sigma_w = 1.2, sigma_u = 1, sigma_b = 0.3, read-out: mean, direction: forward"
    assert described(made[0]) == f"{shown}, particles = 64"


def test_kernels_in_memory_are_taken_as_they_are_under_different_names():
    serial = kernels.Transformer()
    names = lambda kernel: [one.name for one in asked(kernel)]  # noqa: E731
    assert names(serial) == ["Serial"] and asked(serial)[0].make((4, 2)) is serial
    assert names([serial, "gru", serial]) == ["Serial", "gru", "Serial 2"]
    assert names({"mine": serial, "theirs": "dense"}) == ["mine", "theirs"]
    assert "Residual(LayerNorm, Attention)" in described(asked(serial)[0])


def test_a_file_that_has_the_name_of_a_kernel_stands_beside_it(code):
    (code / "gru.toml").write_text('kernel = "dense"')
    (code / "gru 2.toml").write_text('kernel = "dense"')
    for text in ("gru.toml,gru,gru 2.toml", "gru,gru.toml,gru 2.toml", "gru 2.toml,gru.toml,gru"):
        assert sorted(one.name for one in asked(text)) in (["gru", "gru 2", "gru 2 2"], ["gru", "gru 2", "gru 3"])


def test_vectors_are_sequences_laid_out():
    for kernel in ("dense", kernels.Dense(), 2.0 * kernels.Dense(), 0.5 * kernels.Dense() + kernels.Dense(depth=2)):
        (one,) = asked(kernel)
        assert one.inputs(X, None)[0].shape == (3, 8)
        with pytest.raises(ValueError, match="needs sequences of one length"):
            one.inputs(X, np.array([1, 2, 3]))


def test_code_gives_a_kernel_or_the_network_of_an_empirical_one(code):
    f, params = lambda p, x: jnp.tanh(x @ p).sum(0), jnp.ones((2, 3))
    wanted = np.asarray(empirical.NTK(f, params)(X))
    for text in ("mynet:network", "empirical:mynet:network", "empirical:mynet.py:network", "mynet.py:PAIR"):
        kernel = asked(text)[0].make((4, 2))
        assert isinstance(kernel, empirical.NTK) and np.allclose(np.asarray(kernel(X)), wanted), text
    for text in ("mynet:KERNEL", "mynet.py:kernel", "mynet:takes_all"):
        assert asked(text)[0].make((4, 2)).depth == 2


@pytest.mark.parametrize(
    ("kernel", "settings", "said"),
    [
        ("gruu", {}, "no kernel 'gruu'. Did you mean gru?"),
        ("gru:partcles=3", {}, "kernel 'gru' has no 'partcles'. Did you mean particles"),
        ("gru:particles", {}, "settings are name=value with commas between; got 'particles'"),
        ("gru,gru", {}, "kernel 'gru' is asked for twice"),
        ("leaky", {"depth": 2}, "kernel 'leaky' has no depth; got 2"),
        (kernels.Dense(), {"sigma_w": 2.0}, "sigma_w belongs to kernels with a short name; got 'Dense'"),
        ("nowhere:thing", {}, "no module 'nowhere'"),
        ("mynet:KERNLE", {}, "mynet has no 'KERNLE'. Did you mean KERNEL"),
        ("mynet:NUMBER", {}, "must be a Kernel, (f, params) or a function; got 3"),
        ("mynet:three", {}, "it takes a, b, c"),
        ("mynet:wants", {}, "it takes width"),
        ("gru:", {}, "settings are name=value with commas between; got ''"),
        ("gru,", {}, "kernel must name a kernel before and behind every comma and colon; got ''"),
        ("gru:train=RR", {}, "train must be a string of letters out of 'WUbR', each once at most; got 'RR'"),
        ("gru:train=WUb,train_readout=true", {}, "Leave one of them out"),
        ("empirical:", {}, "an empirical kernel is empirical:MODULE:FUNCTION"),
        ("recurrent:depth=2,depth=3", {}, "kernel 'recurrent:depth=2,depth=3' has depth twice"),
        ("nofile.py:thing", {}, "nofile.py: no such file"),
        ("my.net", {}, "a file ends in .toml, an object in Python is module:object or FILE.py:object"),
        (3, {}, "kernel must be a name, a Kernel or several of them; got 3"),
        ([], {}, "kernel must name one kernel at least"),
        (["gru", 3], {}, "kernel must be a name or a Kernel; got 3"),
    ],
)
def test_what_is_no_kernel_is_refused_in_one_line(code, kernel, settings, said):
    with pytest.raises(ValueError) as raised:
        asked(kernel, **settings)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_what_an_empirical_function_must_give_is_said(code):
    (one,) = asked("empirical:mynet:kernel")
    with pytest.raises(ValueError, match=r"must give \(f, params\)"):
        one.make((4, 2))
