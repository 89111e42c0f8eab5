"""How large is a target in the function space of a recurrent kernel, and what does that kernel remember?"""

from ntkseq.norms.every_step import every_step_norm
from ntkseq.norms.memory import MemoryProfile, memory_profile
from ntkseq.norms.rkhs import rkhs_norm
from ntkseq.norms.tokens import Tokens

__all__ = ["MemoryProfile", "Tokens", "every_step_norm", "memory_profile", "rkhs_norm"]
