"""Airflow's API for tasks inside a process that runs its own tasks."""

from __future__ import annotations


def newest_version_only() -> None:
    """Have this process build the API in the one version that it speaks with itself.

    Airflow also builds each older one, for workers that lag behind. That is a third of what an embedded run costs, and
    there are no such workers here. These are Airflow's inner parts: where they are not as expected, all are built.
    """
    try:
        from airflow.api_fastapi.execution_api import versions
        from airflow.api_fastapi.execution_api.routes import execution_api_router
        from airflow.sdk.api.datamodels._generated import API_VERSION
        from cadwyn import HeadVersion, Version, VersionBundle
        from cadwyn.route_generation import _DELETED_ROUTE_TAG
    except ImportError:
        return
    if versions.bundle.versions[0].value != API_VERSION:
        return
    versions.bundle = VersionBundle(HeadVersion(), Version(API_VERSION))
    # These have an address in older versions only, and Cadwyn refuses a route that has none.
    routes = execution_api_router.routes
    routes[:] = [route for route in routes if _DELETED_ROUTE_TAG not in getattr(route, "tags", ())]
