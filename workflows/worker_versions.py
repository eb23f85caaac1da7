"""How a worker says which version of the code it is: not at all, or as a build of a Worker Deployment."""

from importlib.metadata import version
from typing import Any

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from agentflow.settings import Settings
from workflows.build_id import build_id


def version_options(settings: Settings) -> dict[str, Any]:
    """Keywords of `Worker`.

    In a deployment a run stays with the build that it began on (pinned), with its map shards and all of its steps.
    """
    if settings.worker_deployment is None:
        # Named, because the SDK would read the code of every loaded module to make a name: 0.8 s for each worker.
        return {"build_id": f"agentflow-{version('agentflow-platform')}"}
    of_this_code = WorkerDeploymentVersion(deployment_name=settings.worker_deployment, build_id=build_id(settings))
    config = WorkerDeploymentConfig(
        version=of_this_code,
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )
    return {"deployment_config": config}
