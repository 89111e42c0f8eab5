"""Is the structure of a function found where it is, and only there? Exactness alone would not show what is missed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from ntkseq.empirical import NTK
from ntkseq.empirical.structure import Found, examine
from tests.empirical.functions import FUNCTIONS

# name: (leaves that stay plain, leaves that are contracted together, one string per group)
LAYER = {"qkv", "out", "up", "down", "embed", "V"}
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "rnn": ({"b"}, {"U W", "V"}),
    "rnn_reverse_unroll": ({"b"}, {"U W", "V"}),
    "lstm": ({"b"}, {"U W", "V"}),
    "lstm_concatenated": ({"b"}, {"W", "V"}),
    "gru": ({"b", "h0"}, {"U", "W", "C", "V"}),
    "padded_sequence": (set(), {"U W", "V"}),
    "transformer_one_layer": ({"gain", "shift", "up_b", "place"}, LAYER),
    "transformer_tied": ({"gain", "shift", "up_b", "place"}, LAYER),
    "transformer_scanned_remat": ({"gain", "shift", "up_b", "place"}, LAYER),
    "multihead_einsum": (set(), {"Q", "K", "W", "V"}),
    "tied_decoder": (set(), {"W", "E"}),
    "vmapped_tokens": ({"b"}, {"W", "V"}),
    "cnn": (set(), {"A", "B", "V"}),
    "conv_depthwise": ({"A"}, {"B"}),
    "relu_mlp": (set(), {"A", "B", "V"}),
    "fast_weights": (set(), {"W", "R", "V"}),
    "cond": (set(), {"W", "Z", "V"}),
    "nested_scans": (set(), {"W", "S", "V"}),
    "slices_disjoint": (set(), {"W", "V"}),
    "slices_overlapping": ({"W"}, {"V"}),
    "scan_changes_parameters": ({"W"}, {"V"}),
    "weight_norm": ({"V", "W", "g"}, set()),
    "custom_vjp": ({"W"}, {"V"}),
}


def found(name: str) -> tuple[Found, list[str]]:
    f, params, inputs = FUNCTIONS[name].make(jnp.float32)
    x = inputs(jax.random.key(1), 2)
    function = NTK(f, params).function
    names = [path.split("[")[-1].strip("]'") for path in function.names]  # the last part of a path
    return examine(function, function.inputs(x)), names


@pytest.mark.parametrize("name", TABLE)
def test_plain_leaves_and_groups(name: str) -> None:
    structure, names = found(name)
    plain, groups = TABLE[name]
    assert {names[k] for k in structure.plain} == plain
    assert {" ".join(names[k] for k in group.members) for group in structure.groups} == groups


@pytest.mark.parametrize("name", ["maml_task", "maml_two_steps", "derivative_network"])
def test_matrices_of_adapted_and_differentiated_networks_have_structure(name: str) -> None:
    f, params, inputs = FUNCTIONS[name].make(jnp.float32)
    function = NTK(f, params).function
    structure = examine(function, function.inputs(inputs(jax.random.key(1), 2)))
    weights: Any = function.weights
    assert all(weights[k].ndim < 2 for k in structure.plain)
    assert {k for group in structure.groups for k in group.members} == set(range(len(weights))) - set(structure.plain)


def test_structure_is_looked_for_once(monkeypatch: Any) -> None:
    f, params, inputs = FUNCTIONS["rnn"].make(jnp.float32)
    function = NTK(f, params).function
    x = function.inputs(inputs(jax.random.key(1), 2))
    first = examine(function, x)
    monkeypatch.setattr("ntkseq.empirical.structure.trace", None)
    again = NTK(f, jax.tree.map(lambda leaf: leaf + 1, params)).function
    assert examine(again, x) is first
