"""The web page of a running monitor, as the runtime starts and stops it."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from asd_monitor.errors import ConfigError
from asd_monitor.judging.refit_job import RefitJobs
from asd_monitor.judging.store import JudgingStore
from asd_monitor.records import Record
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import MonitorStatus
from asd_monitor.web.access_store import FILE_NAME, AccessStore
from asd_monitor.web.app import create_app
from asd_monitor.web.archive import Archive
from asd_monitor.web.card_history import CardHistories
from asd_monitor.web.context import WebContext
from asd_monitor.web.diagnosis import Diagnosis
from asd_monitor.web.learned_sound import FindLearnedSound
from asd_monitor.web.live import LiveHub
from asd_monitor.web.log_tail import LogTail
from asd_monitor.web.meters import Meters
from asd_monitor.web.pages import PageRenderer
from asd_monitor.web.server import WebServer
from asd_monitor.web.settings import WebSettings
from asd_monitor.web.setup import Setup
from asd_monitor.web.spectrum import Rings
from asd_monitor.web.state_times import StateTimes
from asd_monitor.web.static_files import StaticFiles

logger = logging.getLogger(__name__)

QUEUE = "web"
"""Label of the messages that are dropped for slow pages."""


def _make_meters(setup: Setup, machines: Mapping[str, str], rings: Rings) -> Meters:
    return Meters(setup.inputs_in_use, machines, rings, capture_of=setup.capture_of)


class WebService:
    """Serve the page from :meth:`open` to :meth:`close`; receives records as a sink does.

    Parameters
    ----------
    settings
        Where the page is served.
    node
        Name of the monitor.
    machines
        Display names of the machines by id.
    status
        Returns a snapshot of the monitor.
    state_root
        The state folder.
    metrics
        The monitor's series; messages that slow pages lose are counted there.
    rings
        The newest sound of each machine, for the live spectrogram.
    setup
        Changes the monitor and its settings; None: pages cannot.
    find_learned
        Returns what is known of the sound that a machine's model was learned from.
    diagnosis
        Checks the installation; None: pages cannot.
    trusted_keys
        Returns the public keys of makers whose model files may run; none: all may.
    alarm_of
        Returns the alarm settings of a machine.
    """

    def __init__(
        self,
        settings: WebSettings,
        *,
        node: str,
        machines: Mapping[str, str],
        status: Callable[[], MonitorStatus],
        state_root: Path,
        metrics: Metrics,
        rings: Rings | None = None,
        setup: Setup | None = None,
        find_learned: FindLearnedSound = lambda _machine: None,
        diagnosis: Diagnosis | None = None,
        trusted_keys: Callable[[], Iterable[str]] = tuple,
        alarm_of: Callable[[str], Mapping[str, object]] = lambda _machine: {},
    ) -> None:
        static = StaticFiles()
        if missing := static.missing_libraries():
            logger.warning(
                "web: the page has no charts, because %s were not fetched when asd-monitor was "
                "installed; install it again",
                " and ".join(missing),
            )
        rings = {} if rings is None else rings
        self._settings = settings
        self._times = StateTimes()
        self._hub = LiveHub(self._call, rings, count_dropped=metrics.dropped.labels(QUEUE).inc)
        self._log = LogTail()
        self._access = AccessStore(state_root / FILE_NAME)
        self._refits = RefitJobs(state_root, trusted_keys, alarm_of)
        pages, archive = PageRenderer(node, static), Archive(state_root)
        self._context = WebContext(
            settings=settings,
            node=node,
            machines=machines,
            status=status,
            access=self._access,
            pages=pages,
            times=self._times,
            hub=self._hub,
            archive=archive,
            card_histories=CardHistories(archive, pages.render_strip),
            rings=rings,
            judging=JudgingStore(state_root),
            refits=self._refits,
            setup=setup,
            meters=None if setup is None else _make_meters(setup, machines, rings),
            metrics=metrics,
            log=self._log,
            find_learned=find_learned,
            diagnosis=diagnosis,
            started_s=time.time(),
        )
        self._server = WebServer(settings, create_app(self._context))

    @property
    def url(self) -> str:
        """URL of the page."""
        return self._settings.external_url or self._server.url

    @property
    def is_open(self) -> bool:
        """Whether the page is being served."""
        return self._server.is_running

    @property
    def local_url(self) -> str:
        """URL of the page on this computer, or at its address."""
        return self._server.url

    def open(self) -> None:
        """Start serving.

        Raises
        ------
        ConfigError
            If other computers could reach the page without a password.
        SinkError
            If the address cannot be listened on or the certificate cannot be used.
        """
        has_password = self._access.has_accounts()
        is_first_start = self._context.setup is not None and not self._context.machines
        if self._context.needs_password and not has_password and not is_first_start:
            msg = (
                f"web: the page on {self._settings.address} can be reached from other computers, "
                "and has no password: set one with `asd-monitor access admin`, or use "
                "address: 127.0.0.1 without web.hosts and web.external_url"
            )
            raise ConfigError(msg)
        logging.getLogger().addHandler(self._log)
        self._server.start()
        logger.info("web page at %s", self.url)
        link = f"{self.url.rstrip('/')}/password?key={self._context.setup_link.key}"
        if not has_password and self._context.needs_password:
            logger.info("no machine yet: to set one up, open %s within 15 minutes", link)
        elif is_first_start:
            logger.info("no machine yet: to set one up, open %s/setup", self.url.rstrip("/"))
        elif not has_password:
            logger.info(
                "web page: no password is needed on this computer; to set one, open "
                "%s within 15 minutes",
                link,
            )

    def emit(self, record: Record) -> None:
        """Send a record to the open pages; never blocks."""
        self._times.emit(record)
        self._hub.emit(record)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        self._server.call(callback, *arguments)

    def close(self) -> None:
        """Stop serving; may be called twice."""
        self._server.close()
        logging.getLogger().removeHandler(self._log)
        self._refits.close()
        self._access.close()
