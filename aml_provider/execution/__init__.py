"""One step's life: resolve values, prepare an attempt, (an operator runs it), judge, commit."""
