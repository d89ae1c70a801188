"""Notifications reach a real server, are retried, keep secrets, and never hold up the monitor."""

import base64
import logging
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.config import from_options
from asd_monitor.doctor.masking import find_secrets, mask_settings, mask_text
from asd_monitor.errors import ConfigError, SinkError
from asd_monitor.records import EvidenceReady, State
from asd_monitor.sinks.notify.delivery import AppriseTarget, Target
from asd_monitor.sinks.notify.message import Message
from asd_monitor.sinks.notify.settings import NotifySettings, Recipient
from asd_monitor.sinks.notify.sink import MAX_ATTEMPTS, NotifySink
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.hidden_packages import environment_without
from tests.rig.mosquitto import wait_until
from tests.rig.paths import DOCS
from tests.rig.records import event
from tests.rig.webhook import Webhook, serve_webhook

SECRETS = ("s3cret-word", "t0ken-in-path")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class Recorded:
    """A target in memory, which accepts or refuses."""

    name = "recorded"

    def __init__(self, accepts: Callable[[], bool] = lambda: True) -> None:
        self.messages: list[Message] = []
        self._accepts = accepts

    def send(self, message: Message) -> bool:
        self.messages.append(message)
        return self._accepts()


class Rig:
    """Sinks with their metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.sinks: list[NotifySink] = []
        self.now_s = 1_800_000_000.0

    def sink(self, targets: list[Target] | None = None, **settings: object) -> NotifySink:
        options = NotifySettings.model_validate({"to": ["json://127.0.0.1:9"]} | settings)
        sink = NotifySink(
            options,
            self.metrics,
            targets=targets,
            names={"pump": "Feed pump 2"},
            external_url="https://m.example.com",
            clock=lambda: self.now_s,
        )
        self.sinks.append(sink)
        sink.open()
        return sink

    def results(self, result: str) -> float:
        value = self.registry.get_sample_value("asd_notifications_total", {"result": result})
        return value or 0.0

    def has(self, result: str, number: float) -> bool:
        return self.results(result) == number


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr("asd_monitor.sinks.notify.sink.CHECK_INTERVAL_S", 0.02)
    rig = Rig()
    yield rig
    for sink in rig.sinks:
        sink.close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with serve_webhook() as webhook:
        yield webhook


def test_a_server_receives_the_alarm_with_its_picture(
    rig: Rig, webhook: Webhook, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(PNG)
    sink = rig.sink(to=[webhook.url])
    sink.emit(replace(event("t", State.ALARM), event_id="e1"))
    headline = "louder at 250 Hz, by 6 dB"
    sink.emit(EvidenceReady("pump", "e1", 0.0, headline, picture=str(picture)))
    wait_until(lambda: len(webhook.received) == 1, "the notification")
    (received,) = webhook.received
    assert received["title"] == "ALARM: Feed pump 2"
    assert "Louder at 250 Hz, by 6 dB." in received["message"]
    assert "https://m.example.com/events/e1" in received["message"]
    assert received["type"] == "failure"
    (attachment,) = received["attachments"]
    assert base64.b64decode(attachment["base64"]) == PNG
    wait_until(lambda: rig.results("sent") == 1, "the count")


def test_a_refused_message_is_sent_again_and_no_log_line_has_a_secret(
    rig: Rig, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.statuses += [500, 503]
    with caplog.at_level(logging.DEBUG):
        sink = rig.sink(to=[webhook.url], picture_wait_s=0)
        sink.emit(replace(event("t", State.ALARM), event_id="e1"))
        for expected in (1, 2):
            wait_until(partial(rig.has, "retried", expected), "the retry")
            rig.now_s += 5.0 * expected
        wait_until(lambda: rig.results("sent") == 1, "the notification")
    assert len(webhook.received) == 1
    assert "retrying" in caplog.text
    assert not any(secret in caplog.text for secret in SECRETS)


def test_waits_between_attempts_grow_and_end(rig: Rig) -> None:
    target = Recorded(lambda: False)
    sink = rig.sink([target], picture_wait_s=0, repeat_minutes=None)
    sink.emit(replace(event("t", State.ALARM), event_id="e1"))
    waits_s = []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        last = attempt == MAX_ATTEMPTS
        wait_until(partial(rig.has, "failed" if last else "retried", 1 if last else attempt), "it")
        assert len(target.messages) == attempt
        waits_s.append(min(5.0 * 2 ** (attempt - 1), 600.0))
        rig.now_s += waits_s[-1]
    assert rig.results("failed") == 1
    assert 1800 < sum(waits_s) < 7200


def test_an_address_that_hangs_neither_blocks_the_monitor_nor_grows_without_limit(
    rig: Rig,
) -> None:
    release = threading.Event()
    target = Recorded(lambda: release.wait(30.0))
    sink = rig.sink([target], picture_wait_s=0, cooldown_minutes=0)
    sink.emit(replace(event("t", State.ALARM), event_id="e0"))
    wait_until(lambda: bool(target.messages), "the first message")
    for number in range(5000):  # returns, although nothing is taken
        sink.emit(replace(event("t", State.ALARM), event_id=f"e{number}"))
    dropped = rig.registry.get_sample_value("asd_dropped_total", {"queue": "notify"})
    assert dropped is not None
    assert dropped >= 3000
    release.set()


def test_one_address_that_refuses_does_not_keep_the_others_waiting(rig: Rig) -> None:
    refusing, accepting = Recorded(lambda: False), Recorded()
    sink = rig.sink([refusing, accepting], picture_wait_s=0)
    sink.emit(replace(event("t", State.ALARM), event_id="e1"))
    wait_until(lambda: len(accepting.messages) == 1, "the message")


def test_the_address_is_read_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "address").write_text("ntfy://host/topic\nsecond line\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("NOTIFY_URL", "json://host")
    assert Recipient(url_file=Path("address")).read() == "ntfy://host/topic"
    assert Recipient(url_env="NOTIFY_URL").read() == "json://host"
    with pytest.raises(SinkError, match="no variable MISSING"):
        Recipient(url_env="MISSING").read()
    with pytest.raises(SinkError, match="No such file"):
        Recipient(url_file=tmp_path / "none").read()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"to": []}, "at least one"),
        ({"to": [{}]}, "exactly one"),
        ({"to": [{"url": "json://x", "url_env": "Y"}]}, "exactly one"),
        ({"to": ["json://x"], "events": ["fire"]}, "events"),
        ({"to": ["json://x"], "quiet_hours": "25:00-06:00"}, "quiet_hours"),
        ({"to": ["json://x"], "quiet_hours": "06:00-06:00"}, "no time between"),
        ({"to": ["json://x"], "repeat_minutes": 0}, "repeat_minutes"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        from_options({"machines": {"pump": {"mic": 0}}, "notify": wrong})


def test_an_unknown_address_is_refused_without_showing_it() -> None:
    with pytest.raises(SinkError, match=r"address 3.*begins with nosuch://") as caught:
        AppriseTarget(3, Recipient(url="nosuch://user:s3cret-word@host"))
    assert "s3cret-word" not in str(caught.value)


def test_the_settings_do_not_show_addresses(webhook: Webhook) -> None:
    settings = NotifySettings.model_validate({"to": [webhook.url]})
    assert not any(secret in repr(settings) for secret in SECRETS)


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path) -> None:
    config = tmp_path / "plant.yaml"
    config.write_text("machines: {pump: {mic: 0}}\nnotify: {to: ['json://host']}\n")
    (tmp_path / "hidden").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "asd_monitor.cli", "notify", "--test", "--config", str(config)],
        env=environment_without(["apprise"], tmp_path / "hidden"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == SinkError.exit_code
    assert "pip install 'asd-monitor[notify]'" in done.stderr


def test_notify_test_sends_to_each_address_and_fails_if_one_refuses(
    webhook: Webhook, tmp_path: Path
) -> None:
    config = tmp_path / "plant.yaml"
    text = f"machines: {{pump: {{mic: 0, name: Feed pump}}}}\nnotify:\n  to: ['{webhook.url}']\n"
    config.write_text(text)
    config.chmod(stat.S_IRUSR)
    runner = CliRunner()
    done = runner.invoke(create_app(), ["notify", "--test", "--config", str(config)])
    assert (done.exit_code, done.stdout) == (0, "JSON (address 1): accepted\n")
    assert "Feed pump" in webhook.received[0]["message"]
    webhook.statuses += [500]
    failed = runner.invoke(create_app(), ["notify", "--test", "--config", str(config)])
    assert isinstance(failed.exception, SinkError)
    assert "NOT accepted" in failed.stdout


def test_the_documentation_lists_all_settings() -> None:
    listed = re.findall(r"^\| `([^`]+)` \|", (DOCS / "notifications.md").read_text(), re.MULTILINE)
    assert set(listed) == set(NotifySettings.model_fields)


def test_a_support_file_masks_addresses_and_nothing_else(webhook: Webhook) -> None:
    values = {"notify": {"to": [{"url": webhook.url}], "events": ["alarm"]}}
    assert not any(secret in str(mask_settings(values)) for secret in SECRETS)
    secrets = find_secrets(values)
    text = mask_text(f"the alarm was sent to {webhook.url}", secrets)
    assert text == "the alarm was sent to (removed)"
