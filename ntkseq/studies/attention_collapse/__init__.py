"""When do attention matrices collapse to rank one at the start, and what becomes of the tangent kernel then?"""

from ntkseq.studies.attention_collapse.study import AttentionCollapse as AttentionCollapse
