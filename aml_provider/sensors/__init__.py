"""Sensors that decide what need not run, by content."""
