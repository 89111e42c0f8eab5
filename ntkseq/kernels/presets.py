"""Which arguments reproduce the kernel of a given paper or code?"""

from __future__ import annotations

import math
from typing import Any

from ntkseq import _checks, blocks

PRESETS = ("allen-zhu-li", "panigrahi-goyal", "rntk", "ntk4a")


def recurrent(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `kernels.Recurrent` for a preset, with the caller's changes on top.

    - "allen-zhu-li": W, A ~ N(0, 2/m), B ~ N(0, 1/d_out), only W trained, gradients divided by m, inputs not
      divided by d. `d_out=1` may be given. The same kernel stands behind Wang, Shen, Hu & Cao.
    - "panigrahi-goyal": the same with B ~ N(0, 2/d_out) and W and A trained.
    - "rntk": the RNTK_UCI code: scalar tokens, h_0 drawn for each input, sigma_h = 0 unless given. Its option
      'avg' counts the last step twice; `read="steps"` here does not, and is not divided by t.
    - "ntk4a": gradients of the unscaled parameters; `varw, varu, varb, varv` may be given. The code adds 1e-7
      inside its arcsine; we do not.

    Reference: allenzhu2019rnn; wang2021rnn; panigrahi2021rnn; alemohammad2021rntk; yang2020tp2.
    """
    _checks.choice("preset", name, PRESETS)
    changes = dict(changes)
    if name in ("allen-zhu-li", "panigrahi-goyal"):
        d_out = _checks.positive_int("d_out", changes.pop("d_out", 1))
        only_w = name == "allen-zhu-li"
        base: dict[str, Any] = {
            "sigma_w": math.sqrt(2),
            "sigma_u": math.sqrt(2),
            "sigma_b": 0.0,
            "sigma_r": math.sqrt((0.5 if only_w else 1.0) / d_out),  # K / (2 d_out), K / d_out
            "train": "W" if only_w else "WU",
            "input_scale": "none",
        }
    elif name == "rntk":
        base = {"sigma_w": math.sqrt(2), "sigma_u": 0.5, "sigma_b": 0.1, "h0": "independent", "input_scale": "none"}
    else:
        variances = {"w": 1.0, "u": 2.0, "b": 0.2, "v": 1.0}
        for key in variances:
            variances[key] = changes.pop(f"var{key}", variances[key])
            if variances[key] < 0:
                raise ValueError(f"var{key} must be a variance >= 0; got {variances[key]!r}.")
        base = {f"sigma_{key.replace('v', 'r')}": math.sqrt(value) for key, value in variances.items()}
        base |= {"activation": "erf", "param": "raw"}
    return base | changes


def serial(name: str, changes: dict[str, Any]) -> tuple[tuple[blocks.Block, ...], dict[str, Any]]:
    """Blocks and options of `kernels.Serial` for a preset.

    - "yang-transformer": LayerNorm behind each branch, attention on the tokens themselves with skip, softmax of
      u(x_a) . u(x_c) / n, gradients of the unscaled weights, mean over tokens. `depth=1` and the variances
      `varw=1` (feed-forward), `varu=1` (tokens to u), `varv=1` (read-out) may be given. The notebook passes varu
      twice in the backward step, which is right at varu = 1 only; here it stands once, as finite networks have it.

    Raises:
        ValueError: an unknown name or argument, a negative variance.

    Reference: yang2020tp2.
    """
    _checks.choice("preset", name, ("yang-transformer",))
    given: dict[str, Any] = {"varw": 1.0, "varu": 1.0, "varv": 1.0}
    changes = dict(changes)
    depth = _checks.positive_int("depth", changes.pop("depth", 1))
    for key in given:
        given[key] = _checks.nonnegative(key, changes.pop(key, given[key]))
    if changes:
        raise ValueError(f"the preset {name!r} takes depth, varw, varu and varv; got {', '.join(sorted(changes))}.")
    w, u, v = (math.sqrt(given[key]) for key in ("varw", "varu", "varv"))
    weights = blocks.Linear(w, train="W")
    layer = (
        blocks.Linear(u, train="W"),
        blocks.Attention(project=False, skip=True),
        blocks.LayerNorm(),
        blocks.Residual(weights, blocks.Nonlinearity("relu"), weights),
        blocks.LayerNorm(),
    )
    return layer * depth, {"sigma_r": v, "param": "raw"}
