"""Is a machine called by what it is?"""

from __future__ import annotations

import re

from benchmarks import machine


def test_a_processor_gives_its_name_and_cores_and_an_accelerator_its_own():
    cpu = {"device": "cpu cpu", "processor": "Intel(R) Xeon(R) Processor, model 207", "cores": 2}
    assert machine.kind(cpu) == "intel-xeon-processor-model-207-2-cores"
    assert machine.kind(cpu | {"device": "gpu NVIDIA H200"}) == "nvidia-h200"


def test_this_machine_has_a_name():
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", machine.kind(machine.description()))
