"""What is refused when a cell of any kind is described?"""

from __future__ import annotations

import pytest

from ntkseq import blocks
from ntkseq.cells import GRU, LRU, LSTM, S4D, ControlledResNet, Elman, Leaky


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Elman("rleu"), "activation"),
        (lambda: Elman(sigma_w=-1.0), "sigma_w"),
        (lambda: Elman(sigma_u=float("nan")), "sigma_u"),
        (lambda: Elman(train="WV"), "letters out of 'WUb'"),
        (lambda: Leaky(keep=-0.1), "keep must be"),
        (lambda: Leaky(gate=float("nan")), "gate must be"),
        (lambda: Leaky(train="WR"), "letters out of 'WUb'"),
        (lambda: ControlledResNet(sigma_h=-1.0), "sigma_h must be"),
        (lambda: ControlledResNet(train="WU"), "letters out of 'Wbh'"),
        (lambda: LRU(0.5, 0.5), "0 <= r_min < r_max <= 1"),
        (lambda: LRU(r_max=1.1), "r_max <= 1"),
        (lambda: LRU(r_min=-0.1), "r_min"),
        (lambda: LRU(max_phase=7.0), "at most 2 pi"),
        (lambda: LRU(max_phase=0.0), "max_phase"),
        (lambda: LRU(train="WU"), "letters out of 'ntgBC'"),
        (lambda: S4D(3), "must be even and at most 4096; got 3"),
        (lambda: S4D(0), "states"),
        (lambda: S4D(10**9), "at most 4096; got 1000000000"),
        (lambda: S4D(dt_min=0.1, dt_max=0.1), "0 < dt_min < dt_max"),
        (lambda: S4D(dt_min=0.0), "dt_min"),
        (lambda: S4D(sigma_c=-1.0), "sigma_c"),
        (lambda: S4D(sigma_d=float("inf")), "sigma_d"),
        (lambda: S4D(train="WU"), "letters out of 'driCD'"),
        (lambda: GRU(sigma_w=-1.0), "sigma_w must be a finite"),
        (lambda: Elman(sigma_w=(1.0, 2.0)), "sigma_w must be a standard deviation, one number >= 0; got"),
        (lambda: LRU(sigma_u=True), "sigma_u must be a standard deviation, one number >= 0; got True"),
        (lambda: blocks.Linear([1.0, 2.0]), "sigma_w must be a standard deviation, one number >= 0; got"),
        (lambda: GRU(sigma_w=(1.0, 2.0)), "sigma_w must be a number or one for each gate, z, r, g"),
        (lambda: GRU(sigma_c=0.0), 'reset="before" has not; got 0'),
        (lambda: GRU(sigma_c=(0.1, 0.1), reset="after"), "sigma_c must be a standard deviation, one number"),
        (lambda: GRU(reset="behind"), "reset must be one of 'before', 'after'"),
        (lambda: GRU(law="gauss"), "law must be one of 'normal', 'truncated', 'uniform'"),
        (lambda: LSTM(sigma_b=[0.1] * 3), "one for each gate, i, f, g, o"),
        (lambda: LSTM(forget=float("nan")), "forget must be finite"),
        (lambda: LSTM(forget=(1.0, 1.0)), "forget must be one number"),
        (lambda: GRU(train="WR"), "train must be a string of letters out of 'WUb'"),
        (lambda: LSTM(train="WW"), "train must be a string of letters out of 'WUb'"),
        (lambda: blocks.Recurrent("elman"), "cell must be"),
        (lambda: blocks.Recurrent(blocks.Linear()), "cell must be"),
        (lambda: blocks.Recurrent(Elman(), "sideways"), "direction"),
    ],
)
def test_wrong_cells_are_refused_at_the_door(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
