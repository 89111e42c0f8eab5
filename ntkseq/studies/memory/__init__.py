"""How do the kernels of recurrent, state-space and attention networks forget: like a power, or geometrically?"""

from ntkseq.studies.memory.study import Memory as Memory
