"""Real children: what becomes of them when they crash, hang, or lose their parent."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cli.embedded.backoff import Backoff
from cli.embedded.errors import PartFailed, StartCancelled
from cli.embedded.service_process import ServiceProcess, ServiceSpec
from cli.embedded.waiting import wait_until

#: Makes the file that its argument names, then waits for a signal.
SERVE = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); print('serving', flush=True); signal.pause()"


def eventually(condition: Callable[[], bool]) -> bool:
    return wait_until(condition, timeout_seconds=15, interval_seconds=0.02)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def running_pid(service: ServiceProcess) -> int:
    pid = service.pid
    assert pid is not None
    return pid


@pytest.fixture
def spec(tmp_path: Path) -> ServiceSpec:
    ready_file = tmp_path / "ready"
    return ServiceSpec(
        name="demo",
        command=[sys.executable, "-c", SERVE, str(ready_file)],
        environment=dict(os.environ),
        log_file=tmp_path / "demo.log",
        is_ready=ready_file.exists,
        ready_timeout_seconds=15,
        before_start=lambda: ready_file.unlink(missing_ok=True),
        backoff=Backoff(first_seconds=0.01, longest_seconds=0.1),
    )


@pytest.fixture
def services() -> Iterator[list[ServiceProcess]]:
    """What a test starts, stopped at its end whatever happens."""
    started: list[ServiceProcess] = []
    yield started
    for service in started:
        service.stop()


def test_a_killed_child_is_started_again_and_reported(spec: ServiceSpec, services: list[ServiceProcess]) -> None:
    reported = threading.Event()
    service = ServiceProcess(spec, on_restart=reported.set)
    services.append(service)
    service.start()
    first = running_pid(service)

    os.kill(first, signal.SIGKILL)

    assert eventually(lambda: service.pid not in {None, first} and spec.is_ready())
    assert reported.wait(15)
    assert service.restarts == 1


def test_every_crash_is_followed_by_another_start(spec: ServiceSpec, services: list[ServiceProcess]) -> None:
    service = ServiceProcess(spec)
    services.append(service)
    service.start()

    for crash in range(1, 4):
        os.kill(running_pid(service), signal.SIGKILL)
        assert eventually(lambda crash=crash: service.restarts == crash and service.pid is not None)  # type: ignore[misc]


def test_a_stopped_child_is_gone_and_stays_gone(spec: ServiceSpec) -> None:
    service = ServiceProcess(spec)
    service.start()
    pid = running_pid(service)

    service.stop()

    assert is_gone(pid)
    assert service.pid is None
    assert service.restarts == 0


def test_a_child_that_ignores_the_request_to_stop_is_killed_after_its_grace(spec: ServiceSpec) -> None:
    deaf = SERVE.replace("signal.pause()", "[signal.pause() for _ in iter(int, 1)]").replace(
        "pathlib.Path", "signal.signal(signal.SIGTERM, lambda *_: None); pathlib.Path", 1
    )
    ready_file = spec.command[-1]
    service = ServiceProcess(replace(spec, command=[sys.executable, "-c", deaf, ready_file], stop_grace_seconds=0.2))
    service.start()
    pid = running_pid(service)

    service.stop()

    assert is_gone(pid)


def test_a_child_that_exits_before_it_is_ready_is_quoted(spec: ServiceSpec) -> None:
    program = "print('no such database'); raise SystemExit(3)"
    service = ServiceProcess(replace(spec, command=[sys.executable, "-c", program]))

    with pytest.raises(PartFailed) as failure:
        service.start()

    assert failure.value.reason == "exited with code 3 before it was ready"
    assert failure.value.log_tail == "no such database"
    assert "no such database" in str(failure.value)


def test_a_child_that_is_not_ready_in_time_is_quoted_and_not_left_running(spec: ServiceSpec) -> None:
    log_file = spec.log_file
    never = replace(spec, is_ready=lambda: False, ready_timeout_seconds=1.0)
    service = ServiceProcess(never)

    with pytest.raises(PartFailed) as failure:
        service.start()

    assert failure.value.reason == "was not ready after 1 s"
    assert log_file == failure.value.log_file
    assert service.pid is None


def test_a_program_that_does_not_exist_is_a_failed_start(spec: ServiceSpec) -> None:
    service = ServiceProcess(replace(spec, command=["/no/such/program"]))

    with pytest.raises(PartFailed) as failure:
        service.start()

    assert "/no/such/program" in str(failure.value) or "No such file" in str(failure.value)


def test_a_cancelled_start_leaves_nothing_running(spec: ServiceSpec) -> None:
    cancelled = threading.Event()
    asked_with: list[int | None] = []

    def cancel_once_running() -> bool:
        asked_with.append(service.pid)
        cancelled.set()
        return False

    service = ServiceProcess(replace(spec, is_ready=cancel_once_running))

    with pytest.raises(StartCancelled):
        service.start(cancelled)

    assert asked_with[0] is not None
    assert is_gone(asked_with[0])


def test_what_a_run_before_left_behind_is_no_readiness(spec: ServiceSpec) -> None:
    Path(spec.command[-1]).touch()
    dies = replace(spec, command=[sys.executable, "-c", "raise SystemExit(1)"])

    with pytest.raises(PartFailed):
        ServiceProcess(dies).start()


def test_a_child_leads_a_group_of_its_own_so_that_ctrl_c_does_not_reach_it(
    spec: ServiceSpec, services: list[ServiceProcess]
) -> None:
    service = ServiceProcess(spec)
    services.append(service)
    service.start()
    pid = running_pid(service)

    assert pid == os.getpgid(pid)
    assert pid == os.getsid(pid)


def test_what_a_crashed_child_had_started_goes_with_it(
    spec: ServiceSpec, services: list[ServiceProcess], tmp_path: Path
) -> None:
    with_child = (
        "import os, pathlib, signal, subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']); "
        "pathlib.Path(sys.argv[2]).write_text(str(child.pid)); pathlib.Path(sys.argv[1]).touch(); signal.pause()"
    )
    command = [sys.executable, "-c", with_child, spec.command[-1], str(tmp_path / "grandchild")]
    service = ServiceProcess(replace(spec, command=command))
    services.append(service)
    service.start()
    grandchild = int((tmp_path / "grandchild").read_text(encoding="ascii"))

    os.kill(running_pid(service), signal.SIGKILL)

    assert eventually(lambda: is_gone(grandchild))


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor = f"""
import os, pathlib, signal, sys
from cli.embedded.service_process import ServiceProcess, ServiceSpec
ready = pathlib.Path(sys.argv[1]) / "ready"
service = ServiceProcess(ServiceSpec(
    name="demo", command=[sys.executable, "-c", {SERVE!r}, str(ready)], environment=dict(os.environ),
    log_file=ready.with_name("demo.log"), is_ready=ready.exists,
))
service.start()
print(service.pid, flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", supervisor, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        was_running = not is_gone(child)

        parent.kill()

    assert was_running
    assert eventually(lambda: is_gone(child))
