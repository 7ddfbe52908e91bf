"""Step reuse: what a step's result depends on, what has been computed before, and why a step runs."""
