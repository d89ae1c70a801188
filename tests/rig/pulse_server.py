"""A private PulseAudio server, with sources that record what is played to it."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIMEOUT_S = 120.0
LOAD_SINK = "load-module module-null-sink sink_name={0} rate=48000 format=s16le channels=1"


class PulseServer:
    """A server with a source ``NAME.monitor`` for each sink ``NAME``, which records its sound.

    Parameters
    ----------
    folder
        Folder of its socket and configuration; the path must be short.
    sinks
        Names of its initial sinks.
    """

    def __init__(self, folder: Path, sinks: list[str]) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._socket = f"unix:{folder / 'pulse.sock'}"
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_SERVER": self._socket,
            "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        }
        nodes = "".join(
            f'pcm.{sink} {{ type pulse server "{self._socket}" device "{sink}.monitor" }}\n'
            for sink in sinks
        )
        (folder / "asound.conf").write_text(f"</usr/share/alsa/alsa.conf>\n{nodes}")
        listen = f"module-native-protocol-unix auth-anonymous=1 socket={folder}/pulse.sock"
        commands = [f"load-module {listen}", *(LOAD_SINK.format(sink) for sink in sinks)]
        script = folder / "start.pa"
        script.write_text("\n".join(commands) + "\n")
        options = ["--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        self._start("pulseaudio", "-n", *options, "-F", str(script))

    def _start(self, *command: str) -> None:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            command, env=self.environment, stdin=quiet, stdout=quiet, stderr=quiet
        )
        self._started.append(process)

    def wait(self) -> None:
        """Wait until the server answers."""
        end_s = time.monotonic() + TIMEOUT_S
        while subprocess.run(
            ["pactl", "info"], env=self.environment, capture_output=True, check=False
        ).returncode:
            if time.monotonic() > end_s:
                raise AssertionError("pulseaudio does not answer")
            time.sleep(0.1)

    def control(self, *command: str) -> None:
        """Run one command of ``pactl``."""
        subprocess.run(["pactl", *command], env=self.environment, capture_output=True, check=True)

    def load_sink(self, name: str) -> None:
        """Add a sink and its source."""
        self.control(*LOAD_SINK.format(name).split())

    def unload_sinks(self, name: str) -> None:
        """Remove a sink; the server moves streams from its source to another one."""
        listed = subprocess.run(
            ["pactl", "list", "short", "modules"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        for line in listed.stdout.splitlines():
            if f"sink_name={name} " in line + " ":
                self.control("unload-module", line.split()[0])

    def play_noise(self, sink: str) -> None:
        """Play noise to a sink until stopped."""
        self._start("pacat", "--latency-msec=10", "-d", sink, "--raw", "/dev/urandom")

    def stop_playing(self) -> None:
        """Stop the noise, which would otherwise be moved to another sink as well."""
        for process in self._started[1:]:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End all processes that were started."""
        for process in reversed(self._started):
            process.kill()
            process.wait()


@contextmanager
def pulse_server(folder: Path, sinks: list[str]) -> Iterator[PulseServer]:
    """Run a PulseAudio server."""
    server = PulseServer(folder, sinks)
    try:
        server.wait()
        yield server
    finally:
        server.close()
