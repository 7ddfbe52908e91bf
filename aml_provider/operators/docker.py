"""A step as a Docker container that outlives its worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow.providers.docker.operators.docker import DockerOperator, fetch_logs
from airflow.sdk import ResumableJobMixin
from airflow.sdk.exceptions import AirflowException
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest, Mount
from requests.exceptions import ReadTimeout, RequestException
from urllib3.exceptions import ProtocolError

from aml_provider.operators.base import StepTask
from aml_provider.operators.labels import ATTEMPT_LABEL, labels_of, labels_of_step_run
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.errors import StepError, StepInterruptedError, StepOutOfSightError
from aml_provider.spec.models import Step, StoredOutput

if TYPE_CHECKING:
    from airflow.sdk import Context

    from aml_provider.execution.prepare import PreparedAttempt

# Airflow gives a task five seconds between SIGTERM and SIGKILL; stopping has to fit.
STOP_SECONDS = 3
WAIT_SECONDS = 60
HINT = "Start the daemon, let this user reach it, or correct docker_url in the workspace file."


class DockerStepOperator(StepTask, ResumableJobMixin, DockerOperator):
    """Runs a step in a container, and finds it again when the worker was lost.

    The container is known by its label as well as by the id kept in Airflow's task state store, so a worker that
    dies between starting a container and remembering it does not make a second one.

    :param step: the step.
    :param binding: its pipeline on this machine.
    """

    external_id_key = "aml_container"
    template_fields = ()

    def __init__(self, *, step: Step, binding: PipelineBinding, image: str | None = None, **kwargs: Any) -> None:
        super().__init__(image=image or "", mount_tmp_dir=False, auto_remove="never", **kwargs)
        self.step = step
        self.binding = binding
        self.container_id: str | None = None

    def execute(self, context: Context) -> None:
        """Run the step, or follow the container that an earlier try of this task started."""
        with self.running(context) as run, self._docker_errors():
            self._run = run
            self.execute_resumable(context)
        self.push(context, run, self._outputs)

    # --- ResumableJobMixin --------------------------------------------------------------------------------------

    def submit_job(self, context: Context) -> dict[str, Any]:
        """Start a container, or adopt the one that a lost worker had started and not yet remembered."""
        for found in self._containers(labels_of_step_run(self._run)):
            if found["State"] == "running":
                number = int(found["Labels"][ATTEMPT_LABEL])
                self.lives_in(self._run, number)
                self.log.info("Following container %s of attempt %s", found["Id"][:12], number)
                return {"container": found["Id"], "attempt": number}
            self._remove(found["Id"])
        lost = self.lost_run()
        for found in self._containers(labels_of_step_run(self._run, lost)) if lost else []:
            self._remove(found["Id"])
        prepared = self.prepared_for_container(self._run, context)
        self.image = self.image_to_start
        self._pull_if_missing()
        self.check_still_ours(self._run, prepared.folder)
        self.container_id = self._create(prepared)
        try:
            self.cli.start(self.container_id)
        except APIError:
            # It never ran: nothing is lost with it.
            self._remove(self.container_id)
            raise
        return {"container": self.container_id, "attempt": prepared.folder.number}

    def get_job_status(self, external_id: Any, context: Context) -> str:
        """``running``, ``reported`` (ended and said so) or ``lost``."""
        attempt = self._run.folder.attempt(external_id["attempt"])
        try:
            state = self.cli.inspect_container(external_id["container"])["State"]
        except NotFound:
            state = {"Running": False}
        if state["Running"]:
            return "running"
        return "reported" if attempt.finished_report() is not None else "lost"

    def is_job_active(self, status: str) -> bool:
        return status == "running"

    def is_job_succeeded(self, status: str) -> bool:
        # "Succeeded" in the mixin's sense: nothing is left to run. get_job_result judges the report.
        return status == "reported"

    def poll_until_complete(self, external_id: Any, context: Context) -> None:
        """Follow the container's output to its end, then commit what it did."""
        self.container_id = external_id["container"]
        self._follow(self.container_id)
        self._conclude(external_id, context)

    def get_job_result(self, external_id: Any, context: Context) -> None:
        """Commit a container's work that ended while no worker followed it."""
        if not hasattr(self, "_outputs"):
            self._conclude(external_id, context)

    # --- the container ------------------------------------------------------------------------------------------

    def _create(self, prepared: PreparedAttempt) -> str:
        from aml_provider.execution.data import JOB_INSIDE

        run, compute = self._run, self._run.compute
        host = self.cli.create_host_config(
            auto_remove=False,
            mounts=[
                Mount(target=m.target, source=str(m.source), type="bind", read_only=m.read_only)
                for m in prepared.mounts
            ],
            network_mode=self.network_mode,
            shm_size=self.step.environment.shm_size if self.step.environment else None,
            nano_cpus=int(min(compute.cpus, self.cli.info()["NCPU"]) * 1e9) if compute.cpus else None,
            mem_limit=compute.memory,
            memswap_limit=compute.memory,
            device_requests=[DeviceRequest(count=compute.gpus, capabilities=[["gpu"]])] if compute.gpus else None,
            init=True,
        )
        created = self.cli.create_container(
            image=self.image,
            # The image's own entry point is replaced: the runtime has to see the command's exit.
            entrypoint=list(prepared.command),
            command=[],
            name=f"{run.step_run_id}-{prepared.folder.number}",
            environment={**prepared.environment, "HOME": "/tmp"},
            working_dir=str(JOB_INSIDE / "code"),
            labels=labels_of(run, prepared.folder.number),
            user=f"{os.getuid()}:{os.getgid()}",
            host_config=host,
        )
        return str(created["Id"])

    def learn(self, run: StepRun) -> bool:
        """An image that is not on the host, and that no registry tells the digest of, has to be pulled to be known."""
        with self._docker_errors():
            return bool(self.image) and self._pull_if_missing()

    def abandon_earlier(self, run: StepRun) -> None:
        """Remove containers of earlier attempts."""
        with self._docker_errors():
            for found in self._containers(labels_of_step_run(run)):
                self._remove(found["Id"])

    def _pull_if_missing(self) -> bool:
        """Whether it was missing."""
        try:
            self.cli.inspect_image(self.image)  # type: ignore[no-untyped-call]
            return False
        except ImageNotFound:
            self.log.info("Pulling image %s", self.image)
        try:
            for line in self.cli.pull(self.image, stream=True, decode=True):
                if "error" in line:
                    raise StepError(self._no_image(line["error"]))
        except APIError as e:
            raise StepError(self._no_image(str(e.explanation or e))) from e
        return True

    def _no_image(self, why: str) -> str:
        return (
            f"step {self.step.name!r}: image {self.image!r} is neither on the Docker host nor could it be pulled: "
            f"{why}. Correct the image name (workspace file or Environment), or load the image."
        )

    def _containers(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = self.cli.containers(all=True, filters={"label": wanted})
        return sorted(found, key=lambda c: -int(c["Labels"][ATTEMPT_LABEL]))

    def _follow(self, container: str) -> None:
        try:
            stream = self.cli.logs(container, stream=True, follow=True, stdout=True, stderr=True)
            fetch_logs(stream, self.log)
        except (RequestException, ProtocolError) as e:
            # The runtime keeps the whole log in the run's folder; only this copy of it is cut short.
            self.log.warning("Docker's log stream broke (%s); the whole log is in the run's folder", e)
        while True:
            try:
                self.cli.wait(container, timeout=WAIT_SECONDS)
                return
            except NotFound:
                # Stopped and removed meanwhile. Docker's own errors are RequestExceptions too, so this comes first.
                return
            except (ReadTimeout, RequestException) as e:
                if not isinstance(e, ReadTimeout) and "Read timed out" not in str(e):
                    raise

    def _conclude(self, external_id: Any, context: Context) -> None:
        from aml_provider.execution.outcome import conclude

        attempt = self._run.folder.attempt(external_id["attempt"])
        try:
            if self.killed:
                raise self.stopped(self._run, attempt)
            self.check_still_ours(self._run, attempt)
            state = self._container_state(external_id)
            ended = f"its container ended with exit code {state['ExitCode']}" if state else "its container disappeared"
            oom = bool(state and state.get("OOMKilled"))
            self._outputs: dict[str, StoredOutput] = conclude(self._run, attempt, ended, memory_ran_out=oom)
        finally:
            self._remove(external_id["container"])
            self._forget(context)

    def _container_state(self, external_id: Any) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = self.cli.inspect_container(external_id["container"])["State"]
        except NotFound:
            return None
        return state

    def _forget(self, context: Context) -> None:
        store = context.get("task_state_store")
        if store is not None:
            store.delete(self.external_id_key)

    def _remove(self, container: str) -> None:
        try:
            self.cli.remove_container(container, force=True)
        except NotFound:
            return
        except APIError as e:
            # Whoever stops a step removes its container, and so does whoever waits for its end.
            if e.status_code != HTTPStatus.CONFLICT:
                raise

    def on_kill(self) -> None:
        """Stop the step: the task was marked, cleared or cancelled."""
        self.killed = True
        self.stop_computing()

    def stop_computing(self) -> None:
        """Stop and remove the container."""
        if self.container_id is None:
            return
        try:
            self.cli.stop(self.container_id, timeout=STOP_SECONDS)
            self._remove(self.container_id)
        except (DockerException, RequestException) as e:
            self.log.error("Container %s could not be stopped: %s. `aml reap` removes it.", self.container_id, e)

    @contextmanager
    def _docker_errors(self) -> Iterator[None]:
        where = self.docker_url if isinstance(self.docker_url, str) else ", ".join(self.docker_url)
        try:
            yield
        except APIError as e:
            text = str(e.explanation or e)
            if "could not select device driver" in text:
                raise StepError(
                    f"step {self.step.name!r}: the Docker host at {where} offers no GPUs, and compute target "
                    f"{self._run.compute.name!r} asks for {self._run.compute.gpus}. Install the NVIDIA container "
                    "toolkit there, or set gpus: 0 for the target in the workspace file."
                ) from None
            raise StepInterruptedError(f"step {self.step.name!r}: Docker at {where} refused: {text}") from e
        except (DockerException, RequestException) as e:
            raise StepOutOfSightError(
                f"step {self.step.name!r}: Docker at {where} does not answer ({_root(e)}). {HINT}"
            ) from None
        except AirflowException as e:
            # The hook's own error, when it cannot connect; it has written the reason to the log.
            if "Docker host" not in str(e):
                raise
            raise StepOutOfSightError(f"step {self.step.name!r}: Docker at {where} does not answer. {HINT}") from None


def _root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error
