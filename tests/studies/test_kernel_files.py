"""Does a TOML file give the kernel of its blocks, and is a key that nobody reads refused?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import blocks, cells, kernels
from ntkseq.studies import kernel_files

X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)

FILE = """
read = "last"
sigma_r = 0.5
blocks = [
    {type = "Linear", sigma_w = 1.4, sigma_b = 0.1},
    {type = "Positions", share = 0.3, decay = 0.1},
    {type = "Residual", blocks = ["LayerNorm", {type = "Attention", causal = true}]},
    {type = "Linear", sigma_w = 1.2},
    "relu",
    {type = "Recurrent", cell = {type = "Elman", activation = "erf", sigma_w = 1.1}, direction = "both"},
    {type = "GLU", activation = "sigmoid", gate = {type = "Linear", sigma_w = 1.5}},
    "Linear",
]
"""


@pytest.fixture
def load(tmp_path):
    def read(text: str):
        (tmp_path / "net.toml").write_text(text, encoding="utf-8")
        return kernel_files.load(str(tmp_path / "net.toml"))

    return read


@pytest.mark.slow
def test_the_blocks_of_a_file_are_those_of_the_kernel(load):
    wanted = kernels.Serial(
        blocks.Linear(1.4, 0.1), blocks.Positions(0.3, 0.1),
        blocks.Residual(blocks.LayerNorm(), blocks.Attention(causal=True)), blocks.Linear(1.2), "relu",
        blocks.Recurrent(cells.Elman("erf", sigma_w=1.1), "both"), blocks.GLU("sigmoid", gate=blocks.Linear(1.5)),
        blocks.Linear(), read="last", sigma_r=0.5,
    )  # fmt: skip
    assert np.array_equal(np.asarray(load(FILE)(X)), np.asarray(wanted(X)))


def test_a_short_name_with_settings_is_a_kernel_too(load):
    made = load('kernel = "lstm"\nparticles = 16\nforget = 1.0\n')
    assert made.cell.forget == 1.0 and made.particles == 16


def test_a_sampled_network_in_a_file_has_its_particles(load):
    made = load('particles = 32\nbatches = 4\nseed = 1\nblocks = [{type = "Recurrent", cell = "GRU"}]')
    assert (made.particles, made.batches, made.seed) == (32, 4, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'blocks = [{type = "Recurrent"}]',
            "blocks[0]: Recurrent needs cell, which its table has not. Add cell = ...",
        ),
        ('blocks = [{type = "Linear", sigma_ww = 1.0}]', "blocks[0] has no 'sigma_ww'. Did you mean sigma_w"),
        ('blocks = [{type = "Linera"}]', "blocks[0]: no type 'Linera'. Did you mean Linear"),
        ('blocks = ["Linear", "rleu"]', "blocks[1]: no activation or block 'rleu'. Did you mean relu"),
        ('raed = "last"\nblocks = ["Linear"]', "the file has no 'raed'. Did you mean read"),
        (
            'block = ["Linear"]',
            "a file needs a list `blocks`, or `kernel`, a short name with settings. 'block' is near",
        ),
        ('blocks = [{type = "Linear", sigma_w = -1.0}]', "blocks[0]: sigma_w must be"),
        ('blocks = [{type = "Recurrent", cell = {type = "Elmen"}}]', "blocks[0].cell: no type 'Elmen'. Did you mean"),
        ('blocks = [{type = "Residual", blocks = []}]', "blocks[0].blocks must be a list of one or more blocks"),
        ("blocks = [{sigma_w = 1.0}]", "blocks[0] must be a table with a `type`"),
        ("blocks = []", "blocks must be a list of one or more blocks"),
        ('kernel = "gru"\nblocks = ["Linear"]', "a file has `blocks` or the name of a `kernel`; got both"),
        ('kernel = "gru"\npartcles = 3', "kernel 'gru' has no 'partcles'. Did you mean particles"),
        ("blocks = [", "is no TOML file"),
    ],
)
def test_what_a_file_does_not_mean_is_refused_in_one_line_that_names_it(load, text, said):
    with pytest.raises(ValueError) as raised:
        load(text)
    assert said in str(raised.value) and "net.toml" in str(raised.value) and "\n" not in str(raised.value)
