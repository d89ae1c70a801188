"""What the routes of the web page work with."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.requests import Request

from asd_monitor.judging.refit_job import RefitJobs
from asd_monitor.judging.store import JudgingStore
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import MonitorStatus
from asd_monitor.web.access_store import AccessStore, Identity, Role
from asd_monitor.web.archive import Archive
from asd_monitor.web.card_history import CardHistories
from asd_monitor.web.diagnosis import Diagnosis
from asd_monitor.web.guard import allowed_hosts
from asd_monitor.web.learned_sound import FindLearnedSound
from asd_monitor.web.live import LiveHub
from asd_monitor.web.log_tail import LogTail
from asd_monitor.web.login_limit import LoginLimit
from asd_monitor.web.meters import Meters
from asd_monitor.web.pages import PageRenderer
from asd_monitor.web.settings import LOOPBACK_NAMES, WebSettings
from asd_monitor.web.setup import Setup
from asd_monitor.web.setup_link import SetupLink
from asd_monitor.web.spectrum import Rings
from asd_monitor.web.state_times import StateTimes


@dataclass(frozen=True, slots=True)
class WebContext:
    """The monitor as the web page sees it, and the state of the page itself."""

    settings: WebSettings
    node: str
    """Name of the monitor."""
    machines: Mapping[str, str]
    """Display names of the machines by id, in the order of the settings."""
    status: Callable[[], MonitorStatus]
    """Return a snapshot of the monitor; may be called from any thread."""
    access: AccessStore
    pages: PageRenderer
    times: StateTimes
    hub: LiveHub
    archive: Archive
    card_histories: CardHistories
    rings: Rings
    judging: JudgingStore
    refits: RefitJobs
    setup: Setup | None
    """Changes the monitor and its settings; None: pages cannot."""
    meters: Meters | None
    """Levels of the microphones, for the set-up page; None: pages cannot add machines."""
    metrics: Metrics
    """The monitor's series."""
    log: LogTail
    """The newest lines of the log."""
    find_learned: FindLearnedSound
    diagnosis: Diagnosis | None
    """Checks the installation; None: pages cannot."""
    started_s: float
    """When the page was started, in seconds since the epoch."""
    login_limit: LoginLimit = field(default_factory=LoginLimit)
    setup_link: SetupLink = field(default_factory=SetupLink)
    long_work: threading.Lock = field(default_factory=threading.Lock)
    """Held by the only request that checks the installation or makes a download."""
    clock: Callable[[], float] = time.time

    @property
    def is_open(self) -> bool:
        """Whether everyone who reaches the page may use it: only on this computer."""
        return not self.needs_password and not self.access.has_accounts()

    @property
    def needs_password(self) -> bool:
        """Whether the page can be reached from other computers."""
        return needs_password(self.settings)


def needs_password(settings: WebSettings) -> bool:
    """Return whether other computers can reach the page, directly or through a proxy."""
    return not settings.is_loopback or bool(
        allowed_hosts(settings) - {*LOOPBACK_NAMES, settings.address}
    )


LOCAL_USER = Identity("local", Role.ADMIN)
"""Who sends requests while no password has been set."""


def context_of(request: Request) -> WebContext:
    """Return the context of a request."""
    context: WebContext = request.app.state.context
    return context


def machine_of(request: Request) -> str:
    """Return the machine that a path names; raise HTTPException if there is none."""
    machine: str = request.path_params["machine"]
    if machine not in context_of(request).machines:
        raise HTTPException(404)
    return machine


def identity_of(request: Request) -> Identity:
    """Return who sends a request that has been let through."""
    identity: Identity = request.state.identity
    return identity
