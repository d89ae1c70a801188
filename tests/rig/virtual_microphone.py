"""Virtual microphones, which the real PortAudio opens like any sound card.

``pcm_testmic.c`` is compiled once per test session; this needs gcc and libasound2-dev. Capture
happens in child processes, so it is enough to set an environment variable::

    def test_something(virtual_microphones: MakeMicrophones) -> None:
        mics = virtual_microphones(pump=VirtualSound(samples, rate_hz=48000))
        # os.environ["ALSA_CONFIG_PATH"] is set for the duration of the test, and mics.environment
        # is a full environment for subprocess.run(env=...).
        pump = mics["pump"]      # the device is called "pump"
        pump.unplug(); pump.freeze(); pump.mute(); pump.restore()
        pump.replace_sound(other_samples)
        pump.set_speed(0.99)

Samples are int16 ``(frames,)`` or ``(frames, channels)``, looped endlessly. The sound starts with
its first frame when the device is first started, and follows the monotonic clock from then on,
also while the device is closed or frozen, so the samples show how much was lost between them.
The computer's real sound cards are listed before these.
A microphone with ``plugged=False`` is absent until :meth:`VirtualMicrophone.restore`.
"""

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

PcmArray = npt.NDArray[np.int16]
CONTROL = struct.Struct("<IIdd")  # fault, sound version, epoch_s, speed
HEALTHY, UNPLUGGED, FROZEN, MUTED = range(4)
PLUGIN_SOURCE = Path(__file__).with_name("pcm_testmic.c")


@dataclass(frozen=True)
class VirtualSound:
    """Sound of a virtual microphone, and its initial state."""

    samples: PcmArray
    rate_hz: int = 16000
    plugged: bool = True
    exclusive: bool = False
    """Whether the device can be open only once, like a real card: the next open gets EBUSY."""


class VirtualMicrophone:
    """One device: its sound file, and the shared control block that injects faults."""

    def __init__(self, name: str, sound: VirtualSound, folder: Path) -> None:
        self.name = name
        self.rate_hz = sound.rate_hz
        self.channels = 1 if sound.samples.ndim == 1 else sound.samples.shape[1]
        self.exclusive = sound.exclusive
        self.frames = len(sound.samples)
        self.sound_path = folder / f"{name}.raw"
        self.control_path = folder / f"{name}.ctl"
        self.sound_path.write_bytes(sound.samples.astype("<i2").tobytes())
        fault = HEALTHY if sound.plugged else UNPLUGGED
        self.control_path.write_bytes(CONTROL.pack(fault, 0, 0.0, 1.0))
        with self.control_path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), CONTROL.size)

    def _set(self, fault: int) -> None:
        struct.pack_into("<I", self._shared, 0, fault)

    def unplug(self) -> None:
        """Remove the device; it cannot be opened either."""
        self._set(UNPLUGGED)

    def freeze(self) -> None:
        """Stop delivering without any error."""
        self._set(FROZEN)

    def mute(self) -> None:
        """Deliver digital zeros."""
        self._set(MUTED)

    def restore(self) -> None:
        """End any fault, and plug the device in."""
        self._set(HEALTHY)

    def replace_sound(self, samples: PcmArray) -> None:
        """Switch to another sound with the same number of channels."""
        new = self.sound_path.with_suffix(".new")
        new.write_bytes(samples.astype("<i2").tobytes())
        new.replace(self.sound_path)
        self.frames = len(samples)
        struct.pack_into("<I", self._shared, 4, CONTROL.unpack(self._shared)[1] + 1)

    def set_speed(self, speed: float) -> None:
        """Deliver ``speed`` times the nominal rate; takes effect when the stream is opened."""
        struct.pack_into("<d", self._shared, 16, speed)

    def alsa_definition(self) -> str:
        """Return this device's node for asound.conf."""
        return (
            f'pcm.{self.name} {{ type testmic sound "{self.sound_path}" '
            f'control "{self.control_path}" rate {self.rate_hz} channels {self.channels} '
            f"exclusive {int(self.exclusive)} }}\n"
        )


class VirtualMicrophones(Mapping[str, VirtualMicrophone]):
    """The devices of one asound.conf, by name; they are listed in the order given."""

    def __init__(self, sounds: Mapping[str, VirtualSound], plugin: Path, folder: Path) -> None:
        self._mics = {name: VirtualMicrophone(name, s, folder) for name, s in sounds.items()}
        self.config_path = folder / "asound.conf"
        nodes = "".join(mic.alsa_definition() for mic in self._mics.values())
        self.config_path.write_text(
            f'</usr/share/alsa/alsa.conf>\npcm_type.testmic {{ lib "{plugin}" }}\n{nodes}'
        )

    @property
    def environment(self) -> dict[str, str]:
        """The current environment with these devices added."""
        return {**os.environ, "ALSA_CONFIG_PATH": str(self.config_path)}

    def __getitem__(self, name: str) -> VirtualMicrophone:
        return self._mics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mics)

    def __len__(self) -> int:
        return len(self._mics)


MakeMicrophones = Callable[..., VirtualMicrophones]


def compile_plugin(folder: Path) -> Path:
    """Compile the ALSA plugin into a folder and return the library's path."""
    library = folder / "libasound_module_pcm_testmic.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-DPIC"]
    subprocess.run(["gcc", *flags, "-o", library, PLUGIN_SOURCE, "-lasound"], check=True)
    return library


@pytest.fixture(scope="session")
def virtual_microphone_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the compiled ALSA plugin."""
    if shutil.which("gcc") is None:
        pytest.fail("the virtual microphone needs gcc and libasound2-dev: apt-get install them")
    return compile_plugin(tmp_path_factory.mktemp("virtual_microphone"))


@pytest.fixture
def virtual_microphones(
    virtual_microphone_plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeMicrophones:
    """Return a function that makes devices and exposes them to this test's processes."""

    def make(**sounds: VirtualSound) -> VirtualMicrophones:
        folder = tmp_path / "virtual_microphones"
        folder.mkdir()
        mics = VirtualMicrophones(sounds, virtual_microphone_plugin, folder)
        monkeypatch.setenv("ALSA_CONFIG_PATH", str(mics.config_path))
        return mics

    return make
