"""A real S3 server on the loopback interface: SeaweedFS, as one process with a folder of its own."""

import json
import sysconfig
import tempfile
from pathlib import Path

import httpx

from cli.embedded.ports import free_port
from cli.embedded.service_process import ServiceProcess, ServiceSpec
from cli.embedded.waiting import LOOPBACK

ACCESS_KEY_ID, SECRET_ACCESS_KEY = "AGENTFLOWTEST", "a-secret-of-this-test"
_IDENTITY = {
    "name": "agentflow",
    "credentials": [{"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_ACCESS_KEY}],
    # Admin, so that a bucket is made by the first write to it.
    "actions": ["Admin", "Read", "List", "Write"],
}


class SeaweedServer:
    """Speaks S3 at `endpoint` until it is stopped."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="agentflow-s3-", ignore_cleanup_errors=True)
        folder, self.port = Path(self._folder.name), free_port()
        (folder / "s3.json").write_text(json.dumps({"identities": [_IDENTITY]}))
        ports = [
            f"-{part}.port{kind}={free_port()}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")
        ]
        self._service = ServiceProcess(
            ServiceSpec(
                name="seaweedfs",
                command=[
                    *(str(Path(sysconfig.get_path("scripts")) / "weed"), "server", "-s3", f"-dir={folder}"),
                    *(f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", f"-s3.config={folder / 's3.json'}"),
                    *(
                        f"-s3.port={self.port}",
                        f"-s3.port.grpc={free_port()}",
                        "-s3.port.iceberg=0",
                        "-s3.port.lance=0",
                        *ports,
                    ),
                    *("-volume.max=8", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
                ],
                environment={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
                log_file=folder / "seaweedfs.log",
                is_ready=self._is_serving,
                ready_timeout_seconds=60,
                # Told to stop, it waits ten seconds for clients that nobody has.
                stop_grace_seconds=0.2,
            )
        )

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        self._service.start()

    def stop(self) -> None:
        self._service.stop()
        self._folder.cleanup()

    def _is_serving(self) -> bool:
        try:
            # It refuses a request without a signature, once it can tell.
            return httpx.get(self.endpoint, trust_env=False).status_code == 403
        except httpx.TransportError:
            return False
