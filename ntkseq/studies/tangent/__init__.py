"""From labelled sequences to a report on a tangent kernel: what is asked, the examples, the run, what is said of it."""
