"""What is measured, each in a process of its own: a module times itself and tells its parent the figures."""
