"""From sdk objects to a :class:`~aml_provider.spec.models.PipelineSpec`.

``closure`` finds the steps and their order, ``data`` turns inputs and outputs into spec data, ``arguments`` the
command lines, ``environment`` the run configuration, ``parameters`` checks parameters, ``pipeline`` puts it together.
"""
