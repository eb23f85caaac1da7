"""The builds of a Worker Deployment: which one gets new runs, and what still runs on the others."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import RoutingConfigUpdateState, WorkerDeploymentVersionStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from workflows.dag_run import UPGRADE
from workflows.list_filter import quoted

#: Runs that are told of a new build at once.
_SIGNALS_AT_ONCE = 20
#: A minute of looking whether task queues know what they are to do; usually they do within a second.
_PROPAGATION_LOOKS, _PROPAGATION_PAUSE_SECONDS = 300, 0.2
_STATUS_PREFIX = "WORKER_DEPLOYMENT_VERSION_STATUS_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A version of the code that workers have been started with."""

    build_id: str
    #: inactive, current, ramping, draining, drained; as the server sees it, which may be minutes ago.
    status: str
    #: Of new runs, in percent.
    share: float
    created_at: datetime
    #: Runs and map shards under way on it.
    running: int


class WorkerDeployments:
    """One deployment of one Temporal namespace; every method raises RPCError, NOT_FOUND before its first worker."""

    def __init__(self, temporal: Client, name: str) -> None:
        self._temporal, self._name = temporal, name

    async def builds(self) -> list[Build]:
        """Every build that the server knows, the latest first."""
        info = (await self._describe()).worker_deployment_info
        routing = info.routing_config
        ramping, current = routing.ramping_deployment_version.build_id, routing.current_deployment_version.build_id
        ramped = routing.ramping_version_percentage if ramping else 0.0
        shares = {current: 100.0 - ramped, ramping: ramped}
        versions = sorted(info.version_summaries, key=lambda found: found.create_time.ToNanoseconds(), reverse=True)
        return [
            Build(
                build_id=found.deployment_version.build_id,
                status=WorkerDeploymentVersionStatus.Name(found.status).removeprefix(_STATUS_PREFIX).lower(),
                share=round(shares.get(found.deployment_version.build_id, 0.0), 2),
                created_at=_instant(found.create_time),
                running=await self._running(found.deployment_version.build_id),
            )
            for found in versions
        ]

    async def promote(self, build_id: str) -> None:
        """Gives every new run to the build, and ends a ramp; returns when all task queues know."""
        described = await self._describe()
        await self._temporal.workflow_service.set_worker_deployment_current_version(
            SetWorkerDeploymentCurrentVersionRequest(
                namespace=self._temporal.namespace,
                deployment_name=self._name,
                build_id=build_id,
                conflict_token=described.conflict_token,
                identity=self._temporal.identity,
            )
        )
        if (await self._describe()).worker_deployment_info.routing_config.ramping_deployment_version.build_id:
            # The server leaves the ramp of a third build as it is.
            await self._ramp("", 0)
        await self._until_all_know()

    async def ramp(self, build_id: str, *, percent: float) -> None:
        """Gives a share of new runs to the build; returns when all task queues know."""
        await self._ramp(build_id, percent)
        await self._until_all_know()

    async def invite(self, build_id: str) -> int:
        """Asks the runs on other builds to go on with this one as soon as they only wait; returns how many it asked.

        One that is at work stays where it is until it waits, or ends; see `AgentDag.upgrade`.
        """
        query = (
            "WorkflowType = 'AgentDag' AND ExecutionStatus = 'Running'"
            f" AND TemporalWorkerDeployment = {quoted(self._name)}"
            f" AND TemporalWorkerDeploymentVersion != {quoted(f'{self._name}:{build_id}')}"
        )
        asked = 0
        group: list[WorkflowExecution] = []
        async for execution in self._temporal.list_workflows(query):
            group.append(execution)
            if len(group) == _SIGNALS_AT_ONCE:
                asked += await self._signal_all(group)
                group = []
        return asked + await self._signal_all(group)

    async def _ramp(self, build_id: str, percent: float) -> None:
        described = await self._describe()
        await self._temporal.workflow_service.set_worker_deployment_ramping_version(
            SetWorkerDeploymentRampingVersionRequest(
                namespace=self._temporal.namespace,
                deployment_name=self._name,
                build_id=build_id,
                percentage=percent,
                conflict_token=described.conflict_token,
                identity=self._temporal.identity,
            )
        )

    async def _until_all_know(self) -> None:
        """Until routing has reached every partition of every task queue, or a server takes too long over it."""
        for _ in range(_PROPAGATION_LOOKS):
            info = (await self._describe()).worker_deployment_info
            if info.routing_config_update_state != RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_IN_PROGRESS:
                return
            await asyncio.sleep(_PROPAGATION_PAUSE_SECONDS)

    async def _signal_all(self, executions: Sequence[WorkflowExecution]) -> int:
        return sum(await asyncio.gather(*(self._signal(execution) for execution in executions)))

    async def _signal(self, execution: WorkflowExecution) -> bool:
        try:
            await self._temporal.get_workflow_handle(execution.id).signal(UPGRADE)
        except RPCError as error:
            # It has ended in the meantime.
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True

    async def _running(self, build_id: str) -> int:
        version = quoted(f"{self._name}:{build_id}")
        query = f"ExecutionStatus = 'Running' AND TemporalWorkerDeploymentVersion = {version}"
        return (await self._temporal.count_workflows(query)).count

    async def _describe(self) -> DescribeWorkerDeploymentResponse:
        return await self._temporal.workflow_service.describe_worker_deployment(
            DescribeWorkerDeploymentRequest(namespace=self._temporal.namespace, deployment_name=self._name)
        )


def _instant(stamp: Timestamp) -> datetime:
    return datetime.fromisoformat(stamp.ToJsonString())
