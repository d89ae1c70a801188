"""Learn on another computer, over ssh, because this one has no torch."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from asd_monitor import model_file
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.model_file import LoadPolicy
from asd_monitor.processes.ssh import RemoteProgram
from asd_monitor.progress import NoProgress, Progress
from asd_monitor.runtime.learning import LearnedModel, LearningTask
from asd_monitor.runtime.learning_stream import parse_progress, write_stream

if TYPE_CHECKING:
    from asd_monitor.model_file.runtimes import Runtime
    from asd_monitor.quickstart import Recording

ARGUMENTS = ("learn", "--stream")
POLL_INTERVAL_S = 0.2
KEPT_LINES = 20
SSH_FAILED = 255
NOT_FOUND = 127
_STAGE = "learning"


def check_remote(remote: str) -> None:
    """Check that another computer can be reached, and can learn.

    Raises
    ------
    ConfigError
        If it cannot.
    """
    _run(remote, lambda _: None, NoProgress())


def learn_remotely(
    remote: str,
    task: LearningTask,
    recordings: "Sequence[Recording]",
    progress: Progress,
    *,
    runtime: "Runtime" = "auto",
) -> LearnedModel:
    """Send recordings to another computer, which fits a model; return the model.

    Parameters
    ----------
    remote
        The other computer, as :meth:`RemoteProgram.parse` takes it.
    task
        What is learned.
    recordings
        Normal sound.
    progress
        Receives that of the other computer; may raise to abort.
    runtime
        What will run the model here.

    Raises
    ------
    ConfigError
        If the other computer cannot be reached, cannot learn, or finds too little usable sound.
    ModelFileError
        If this computer cannot use the model.
    """
    content = _run(remote, lambda stdin: write_stream(stdin, task, recordings), progress)
    path = Path(f"{task.machine}.asd from {remote}")
    model = model_file.load_content(content, path, "cpu", policy=LoadPolicy(runtime=runtime))
    manifest = model.manifest
    if manifest.targets != (task.machine,) or manifest.sample_rate_hz != task.sample_rate_hz:
        msg = (
            f"{path}: expected a model of {task.machine} at {task.sample_rate_hz} Hz, found "
            f"{', '.join(manifest.targets)} at {manifest.sample_rate_hz} Hz"
        )
        raise ModelFileError(msg)
    return LearnedModel(content, manifest)


def _run(remote: str, write: Callable[[IO[bytes]], None], progress: Progress) -> bytes:
    """Run the other program with a stdin; return its stdout."""
    program = RemoteProgram.parse(remote)
    try:
        process = subprocess.Popen(
            program.command(*ARGUMENTS),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this program, which then ends it
        )
    except OSError as error:
        msg = f"learning on {remote}: ssh cannot be run: {error.strerror}; install openssh-client"
        raise ConfigError(msg) from error
    exchange = _Exchange(process, write)
    try:
        exchange.follow(progress)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # also what ssh has started, as a proxy
            process.wait()
        exchange.join()
    if process.returncode or not exchange.is_written:
        raise ConfigError(_explain(program, remote, process.returncode, exchange.lines))
    return exchange.content


class _Exchange:
    """Writes stdin of a process and reads its stdout and stderr, each in a thread."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", write: Callable[[IO[bytes]], None]
    ) -> None:
        self.content = b""
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.is_written = False
        self._process = process
        self._write = write
        self._progress: tuple[str, float, float, str] = (_STAGE, 0.0, 1.0, "")
        self._threads = [
            threading.Thread(target=target, name="learn-remotely", daemon=True)
            for target in (self._write_stdin, self._read_stdout, self._read_stderr)
        ]
        for thread in self._threads:
            thread.start()

    def follow(self, progress: Progress) -> None:
        """Report the progress until the process ends and its output is read."""
        while any(thread.is_alive() for thread in self._threads):
            progress.update(*self._progress)
            for thread in self._threads:
                thread.join(POLL_INTERVAL_S / len(self._threads))
        self._process.wait()

    def join(self) -> None:
        """Wait for the threads, once the process has ended."""
        for thread in self._threads:
            thread.join()

    def _write_stdin(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            with stdin:
                self._write(stdin)
            self.is_written = True
        except OSError:
            return  # it ended before; its exit code and stderr say why

    def _read_stdout(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101
        with stdout:
            self.content = stdout.read()

    def _read_stderr(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None  # noqa: S101
        with stderr:
            for line in stderr:
                text = line.decode("utf-8", "replace").strip()
                progress = parse_progress(text)
                if progress is not None:
                    self._progress = progress
                elif text:
                    self.lines.append(text)


def _explain(program: RemoteProgram, remote: str, code: int, lines: Sequence[str]) -> str:
    """Return why the other program failed, and what to do."""
    said = next(
        (line.removeprefix("asd-monitor: ") for line in reversed(lines) if line.strip("╰─╯ ")), ""
    )
    failed = f"learning on {remote} failed"
    if code == SSH_FAILED:
        hint = f"try `ssh {program.host}`, which must work without a password"
        return f"{failed}: ssh cannot connect: {said or 'no reason given'}; {hint}"
    if code == NOT_FOUND:
        return (
            f"{failed}: there is no {program.program} on the search path of ssh there; give its "
            f"place: {program.host}:/PATH/OF/asd-monitor"
        )
    if any("--stream" in line for line in lines):
        return f"{failed}: its asd-monitor is older; install the version of this computer there"
    return f"{failed}: {said or f'its exit code was {code}'}"
