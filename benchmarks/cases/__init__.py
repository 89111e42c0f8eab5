"""One file per case; each has `run(quick) -> Report`."""
