"""Invalid settings are refused with file, line, key and advice; valid ones are accepted."""

# ruff: noqa: E501 - one line per mistake, with its error

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from asd_monitor.commands.options import Device, parse_host_and_port
from asd_monitor.commands.run import load_settings
from asd_monitor.config import (
    Config,
    LearnSettings,
    from_document,
    from_options,
    load,
    make_sink_field,
)
from asd_monitor.errors import ConfigError
from asd_monitor.settings_file import parse, validate
from asd_monitor.sinks import SINKS
from asd_monitor.sinks.mqtt.settings import MqttSettings, MqttTls
from asd_monitor.sinks.prometheus.settings import PrometheusSettings
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.wav import WavSettings
from tests.rig.paths import CONFIGS

EXAMPLE = CONFIGS / "monitor.yaml"
MINIMAL = "machines:\n  pump:\n    mic: 0\n"


def refused(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "plant.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value).replace(str(tmp_path) + "/", "")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("machine:\n  pump:\n    mic: 0\n", "plant.yaml:1: machine: there is no such key; did you mean 'machines'?"),
        (MINIMAL + "mqtt:\n  prot: 1883\n", "plant.yaml:5: mqtt.prot: there is no such key; did you mean 'port'?"),
        (MINIMAL + "mqtt:\n  port: 70000\n", "plant.yaml:5: mqtt.port: expected less than or equal to 65535, got 70000"),
        (MINIMAL + "mqtt:\n  port: broker\n", "plant.yaml:5: mqtt.port: expected a whole number, got 'broker'"),
        (MINIMAL + "mqtt: on\n", "plant.yaml:4: mqtt.host: this key is required"),
        (MINIMAL + "mqtt: 1883\n", "plant.yaml:4: mqtt: expected keys with values below it, got 1883"),
        (MINIMAL + "mqtt:\n  base_topic: a/#\n", "plant.yaml:5: mqtt.base_topic: base_topic: 'a/#' contains '#'"),
        (MINIMAL + "state_dir: 3\n", "plant.yaml:4: state_dir: expected a path, got 3"),
        (MINIMAL + "state_dir: ''\n", "plant.yaml:4: state_dir: expected a path (or leave the key out), got ''"),
        (MINIMAL + "    model: ' '\n", "plant.yaml:4: machines.pump.model: expected a path (or leave the key out), got ' '"),
        ("machines:\n  pump:\n    wav: ''\n", "plant.yaml:3: machines.pump.wav: expected a path (or leave the key out)"),
        ("machines: {}\nweb: off\n", "plant.yaml:1: machines: expected at least one machine"),
        (MINIMAL + "mqtt:\n  port: 1\n  port: 2\n", "plant.yaml:6: key 'port' is given twice, first in line 5; keep one"),
        (MINIMAL + "machines:\n  fan:\n    mic: 1\n", "plant.yaml:4: key 'machines' is given twice"),
        (MINIMAL + "    channel: 2\n", "plant.yaml:4: machines.pump.channel: there is no such key"),
        (MINIMAL + "alarm:\n  hold_s: .nan\n", "plant.yaml:5: alarm.hold_s: expected"),
        (MINIMAL + "alarm:\n  hold_s: -1\n", "plant.yaml:5: alarm.hold_s: expected greater than or equal to 0, got -1"),
        (MINIMAL + "alarm:\n  min_exceedances: 9\n", "plant.yaml:5: alarm.min_exceedances: there is no such key"),
        (MINIMAL + "learn:\n  minutes: 0\n", "plant.yaml:5: learn.minutes: expected greater than or equal to 0.3"),
        (MINIMAL + "device: tpu\n", "plant.yaml:4: device: expected 'auto', 'cpu' or 'cuda'"),
        (MINIMAL + "version: 2\n", "plant.yaml:4: version: expected 1"),
        (MINIMAL + "node: a/b\n", "plant.yaml:4: node: expected 1 to 64"),
        ("machines:\n  'pump/1':\n    mic: 0\n", "machine name 'pump/1': expected"),
        ("machines:\n  'Pump 1/2':\n    mic: 0\n", "; use pump-1-2, and `name: Pump 1/2` in its section"),
        (MINIMAL + "    name: ' '\n", "plant.yaml:4: machines.pump.name: expected a name of 1 to 80 characters on one line"),
        (MINIMAL + '    name: "a\\nb"\n', "expected a name of 1 to 80 characters on one line, found 'a\\nb'"),
        ("machines:\n  ../up:\n    mic: 0\n", "machine name '../up': expected"),
        ("machines:\n  pump: {}\n", "plant.yaml:2: machines.pump: expected one of mic, wav, found none"),
        ("machines:\n  pump: {mic: 0, wav: a.wav}\n", "expected one of mic, wav, found mic and wav"),
        ("machines: {}\nweb: off\n", "plant.yaml:1: machines:"),
        ("machines:\n  12:\n    mic: 0\n", "expected text, got 12; put it in quotes"),
        (MINIMAL + "mqtt:\n  host: mqtt://broker\n", "plant.yaml:5: mqtt.host: expected only a host name or address"),
        (MINIMAL + "mqtt:\n  host: broker:8883\n", "plant.yaml:5: mqtt.host: expected only a host name or address"),
        (MINIMAL + "state_dir: ~nobody-of-this-name/x\n", "plant.yaml:4: state_dir: ~nobody-of-this-name/x:"),
        ("web: off\n", "plant.yaml:1: machines: expected at least one machine, or a web page"),
        ("", "expected keys such as 'machines:' at the top, found nothing"),
        ("- a\n", "expected keys such as 'machines:' at the top, found list"),
        ("machines: [\n", "plant.yaml:2:"),
        ("machines:\n\tpump: 1\n", "plant.yaml:2:"),
        (MINIMAL + "node: !!python/object/apply:os.system ['true']\n", "plant.yaml:4:"),
        ("machines:\n  pump:\n    mic: off\n", "plant.yaml:3: machines.pump.mic: expected an index, a name in quotes, or a stable id, got False"),
        ("machines:\n  pump:\n    mic: {device: yes}\n", "plant.yaml:3: machines.pump.mic.device: expected a whole number or text, got True; if it is a name, put it in quotes"),
        ("machines:\n  pump:\n    mic: {device: a, channel: on}\n", "plant.yaml:3: machines.pump.mic.channel: expected a whole number or 'mean', got True"),
        ("machines:\n  pump:\n    wav: {paths: [a], channel: no}\n", "plant.yaml:3: machines.pump.wav.channel: expected a whole number, got False"),
        (MINIMAL + "    alarm: {hold_s: off}\n", "plant.yaml:4: machines.pump.alarm.hold_s: expected a number, got False"),
        (MINIMAL + "learn: {minutes: on}\n", "plant.yaml:4: learn.minutes: expected a number, got True"),
        (MINIMAL + "mqtt: {qos_score: off}\n", "plant.yaml:4: mqtt.qos_score: expected 0 or 1, got False"),
        (MINIMAL + "prometheus: {port: off}\n", "plant.yaml:4: prometheus.port: expected a whole number, got False"),
        (MINIMAL + "version: true\n", "plant.yaml:4: version: expected 1, got True"),
        (b"node: caf\xe9\n", "expected UTF-8 text, found byte 0xe9 at byte 9"),
        ("a: &a [1]\nb: [" + "*a," * 60 + "]\n", "expected at most 50 aliases"),
        ("x: " + "y" * 1_100_000, "plant.yaml: expected at most 1000000 bytes"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_location(
    tmp_path: Path, text: str | bytes, error: str
) -> None:
    assert error in refused(tmp_path, text)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    error = refused(tmp_path, MINIMAL + "devise: cpu\nmqtt:\n  host: broker\n  port: 0\n")
    assert len(error.splitlines()) == 2


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert list(load(path).machines) == ["pump"]


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_the_name_of_the_file(text: str) -> None:
    try:
        parse(text, "plant.yaml")
    except ConfigError as error:
        assert str(error).startswith("plant.yaml")  # noqa: PT017 - not every text is refused


def test_machines_may_share_a_section_by_a_merge_key(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    shared = "machines:\n  pump: &usual\n    mic: 0\n    learn: {minutes: 3}\n"
    path.write_text(shared + "  fan:\n    <<: *usual\n    mic: 1\n")
    fan = load(path).machines["fan"]
    assert fan.source == MicrophoneSettings(device=1)
    assert fan.learn == LearnSettings(minutes=3)


def test_a_tilde_is_the_home_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/fitter")
    machine = {"wav": "~/sound", "model": "~/pump.asd"}
    pump = from_options({"machines": {"pump": machine}}).machines["pump"]
    assert pump.source == WavSettings(paths=(Path("/home/fitter/sound"),))
    assert pump.model == Path("/home/fitter/pump.asd")


@pytest.mark.parametrize("host", ["broker", "broker.plant.example", "10.0.0.7", "::1", "[fe80::1]"])
def test_a_broker_is_given_by_name_or_address(host: str) -> None:
    config = from_options({"machines": {"pump": {"mic": 0}}, "mqtt": {"host": host}})
    settings = config.sink_settings(MqttSettings)
    assert settings is not None
    assert settings.host == host.strip("[]")


def test_the_short_and_the_long_form_of_a_microphone_mean_the_same() -> None:
    short = from_options({"machines": {"pump": {"mic": "USB"}}})
    long = from_options({"machines": {"pump": {"mic": {"device": "USB"}}}})
    assert short.machines == long.machines


def test_a_machine_has_its_own_rules_or_those_of_the_file() -> None:
    config = from_options(
        {
            "machines": {"a": {"mic": 0, "alarm": {"hold_s": 5}}, "b": {"mic": 1}},
            "alarm": {"hold_s": 50},
        }
    )
    assert [config.alarm_of(name).hold_s for name in "ab"] == [5, 50]


def test_sinks_can_be_turned_off() -> None:
    machines = {"a": {"mic": 0}}
    optional = [
        key
        for key, (settings, _) in SINKS.items()
        if not any(field.is_required() for field in settings.model_fields.values())
    ]
    assert list(from_options({"machines": machines}).sinks) == optional
    for key in SINKS:
        assert key not in from_options({"machines": machines, key: None}).sinks


@pytest.mark.parametrize("word", ["off", "no", "false", "'off'", "null", "'NO'", "none", "'Null'"])
@pytest.mark.parametrize("key", SINKS)
def test_a_sink_is_turned_off_by_the_words_of_the_command_line_and_of_yaml(
    key: str, word: str
) -> None:
    required = {"mqtt": "mqtt: {host: broker}\n", "notify": "notify: {to: ['json://host']}\n"}
    others = "".join(text for other, text in required.items() if other != key)
    settings = from_document(parse(f"{MINIMAL}{others}{key}: {word}\n", "plant.yaml"))
    assert set(settings.sinks) == set(SINKS) - {key}


@pytest.mark.parametrize("word", ["off", "Off", "NO", "none", "null", "false"])
@pytest.mark.parametrize("option", ["mqtt", "metrics"])
def test_an_option_is_turned_off_by_the_words_of_the_configuration(option: str, word: str) -> None:
    unset = dict.fromkeys(("node", "state_dir", "learn_minutes", "mqtt", "metrics"))
    options = unset | {"device": Device.AUTO, option: word}
    settings = load_settings(None, {"pump": {"mic": 0}}, options)
    assert {"mqtt": "mqtt", "metrics": "prometheus"}[option] not in settings.sinks


@pytest.mark.parametrize("word", ["on", "yes", "'ON'", "{}"])
def test_a_section_that_is_turned_on_has_its_defaults(word: str) -> None:
    text = f"{MINIMAL}prometheus: {word}\nmqtt: {{host: broker, tls: {word}}}\n"
    settings = from_document(parse(text, "plant.yaml"))
    assert settings.sinks["prometheus"] == PrometheusSettings()
    mqtt = settings.sink_settings(MqttSettings)
    assert mqtt is not None
    assert mqtt.tls == MqttTls()


@pytest.mark.parametrize("word", ["on", "off", "null", "{port: 1884}"])
def test_an_option_overrides_a_section_that_is_turned_on_or_off(tmp_path: Path, word: str) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(f"{MINIMAL}mqtt: {word}\n")
    options = dict.fromkeys(("node", "state_dir", "learn_minutes", "metrics"))
    settings = load_settings(path, {}, options | {"device": Device.AUTO, "mqtt": "broker"})
    mqtt = settings.sink_settings(MqttSettings)
    assert mqtt is not None
    assert mqtt.host == "broker"


class WebhookSettings(BaseModel, extra="forbid"):
    url: str


WithWebhook = create_model("WithWebhook", __base__=Config, webhook=make_sink_field(WebhookSettings))


def test_a_sink_with_required_settings_is_off_until_they_are_given() -> None:
    assert dict(validate(WithWebhook, parse(MINIMAL, "plant.yaml")))["webhook"] is None
    given = parse(MINIMAL + "webhook: {url: a}\n", "plant.yaml")
    assert dict(validate(WithWebhook, given))["webhook"] == WebhookSettings(url="a")


def test_a_mistake_in_the_section_of_a_new_sink_is_reported_with_its_location() -> None:
    document = parse(MINIMAL + "webhook:\n  ural: a\n", "plant.yaml")
    with pytest.raises(ConfigError) as caught:
        validate(WithWebhook, document)
    assert "plant.yaml:5: webhook.ural: there is no such key; did you mean 'url'?" in str(
        caught.value
    )


def test_the_example_is_valid() -> None:
    assert set(load(EXAMPLE).machines) == {"pump", "fan-2"}


def keys_of(model: type[BaseModel]) -> set[str]:
    keys = set()
    for name, field in model.model_fields.items():
        keys.add(name)
        pending = [field.annotation]
        while pending:
            annotation = pending.pop()
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                keys |= keys_of(annotation)
            pending += getattr(annotation, "__args__", ())
    return keys


def test_the_example_documents_every_key_and_no_other() -> None:
    documented = set(re.findall(r"^[\s#-]*([a-z_]+):(?:\s|$)", EXAMPLE.read_text(), re.MULTILINE))
    machines = {"pump", "bench"}
    assert documented - machines == keys_of(Config)


def test_the_defaults_in_the_example_are_the_real_ones() -> None:
    values = yaml.safe_load(EXAMPLE.read_text())
    broker = {"host": values["mqtt"]["host"]}
    required = {"machines": {"a": {"mic": 0}}, "node": "plant-1", "mqtt": broker}
    documented = {key: values[key] for key in ("device", "alarm", "learn", *SINKS) if key in values}
    assert from_options(required | documented) == from_options(required)


def test_the_protocol_may_be_written_as_a_number(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(MINIMAL + "mqtt:\n  host: broker\n  protocol: 5\n")
    settings = load(path).sink_settings(MqttSettings)
    assert settings is not None
    assert settings.protocol == "5"


def test_a_mistake_in_an_option_is_reported_without_a_line() -> None:
    with pytest.raises(ConfigError, match=r"^command line: learn\.minutes: expected") as caught:
        from_options({"machines": {"pump": {"mic": 0}}, "learn": {"minutes": 0.1}})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("broker", ("broker", 8883)),
        ("broker:1884", ("broker", 1884)),
        ("10.0.0.7:1884", ("10.0.0.7", 1884)),
        ("::1", ("::1", 8883)),
        ("[::1]", ("::1", 8883)),
        ("[::1]:1884", ("::1", 1884)),
    ],
)
def test_a_broker_on_the_command_line_may_have_a_port(
    option: str, expected: tuple[str, int]
) -> None:
    assert parse_host_and_port(option, 8883) == expected
