"""The waist of the package: what a pipeline is, as data. Imports nothing else of ours."""
