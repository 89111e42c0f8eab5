"""Gram matrices on disk: what lies in the folder, who may write there, how it is filled and read."""
