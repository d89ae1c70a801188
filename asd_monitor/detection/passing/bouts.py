"""Keep passing sounds out of the evidence of the rules while they are few and short.

While a passing sound lasts, two sets of rules run: one receives every window, the other none of
the passing sound. The latter decides. When the sound ends, the former is discarded; when it lasts
too long, returns too often, or turns into another sound, the former takes over, so that a fault
that was taken for a passing sound loses no evidence.
"""

from collections import Counter, deque
from copy import deepcopy

from asd_monitor.detection.alarm_settings import TransientAction
from asd_monitor.detection.rules import Rules
from asd_monitor.records import PASSING_RULE, PassingSound, WindowScore

BOUT_GAP_S = 8.0
"""Passing sounds within this time are one bout."""
MAX_BOUT_S = 60.0
"""A longer bout counts fully."""
PERIOD_S = 600.0
"""Passing sounds are limited in this period."""
MAX_PERIOD_S = 120.0
"""Passing sound that is not counted in a period; more counts fully."""
MAX_ELSEWHERE_S = 300.0
"""Sound that is stronger in another machine's microphone counts fully after this time, in a bout
and in a period."""
MAX_IMPACT_WINDOWS = 3
"""Windows with impacts in one bout that are not counted."""
MAX_IMPACT_BOUTS = 3
"""Bouts with impacts in a period that are not counted: more are a rhythm."""
WORDS = {
    PassingSound.SPEECH: "speech-like sound",
    PassingSound.VEHICLE: "sound like a passing vehicle",
    PassingSound.IMPACT: "a few impacts",
}


class PassingSounds:
    """Decide which windows of one machine count as evidence.

    Parameters
    ----------
    action
        Whether passing sounds are ignored or counted.

    Attributes
    ----------
    kind
        Kind of the present passing sound that is not counted; None without one.
    """

    name = PASSING_RULE

    def __init__(self, action: TransientAction) -> None:
        self._action = action
        self._window_s = self._rate_hz = 1.0
        self.reset()

    def configure(self, window_samples: int, sample_rate_hz: int) -> None:
        """Prepare for the scores of a model."""
        self._window_s, self._rate_hz = window_samples / sample_rate_hz, float(sample_rate_hz)
        self.reset()

    def reset(self) -> None:
        """Forget all passing sounds."""
        self._recent: deque[tuple[float, PassingSound]] = deque()
        self._impact_bouts: deque[float] = deque()
        self._counts_until = -float("inf")
        self.skip_gap()

    def skip_gap(self) -> None:
        """End the present bout, because sound is missing."""
        self._counted: Rules | None = None
        self._kinds: Counter[PassingSound] = Counter()
        self._started_s = self._last_s = self._now_s = 0.0
        self._unexplained = self._quiet = 0
        self._elsewhere = ""

    @property
    def kind(self) -> PassingSound | None:
        """Kind of the present passing sound that is not counted."""
        if self._counted is None or not self._kinds:
            return None
        return self._kinds.most_common(1)[0][0]

    @property
    def warns(self) -> bool:
        """Whether the sound would give a warning if it was counted."""
        counted = self._counted
        return counted is not None and (counted.warning or counted.alarming) is not None

    @property
    def is_quiet(self) -> bool:
        """Whether no passing sound keeps an alarm from clearing."""
        return self._counted is None or self._counted.quiet

    @property
    def description(self) -> str:
        """Description of the present bout for the user."""
        if self.kind is None:
            return ""
        if self.kind is PassingSound.ELSEWHERE:
            limit_min = MAX_ELSEWHERE_S / 60
            return f"the sound is {self._elsewhere}: no alarm here within {limit_min:.0f} min"
        duration_s = self._last_s + self._window_s - self._started_s
        return f"{WORDS[self.kind]} for {duration_s:.0f} s: not counted as a fault of the machine"

    def update(self, score: WindowScore, rules: Rules, *, may_ignore: bool) -> Rules:
        """Take a window into account that overlaps none before it; return the rules that decide.

        Parameters
        ----------
        score
            The window.
        rules
            The rules that decide at present.
        may_ignore
            Whether a bout may begin; not while the machine is in ALARM.
        """
        self._now_s = score.window_start / self._rate_hz
        kind = PassingSound.ELSEWHERE if score.elsewhere else score.passing
        kind = kind if self._action == "ignore" else None
        begins = kind is not None and self._counted is None and may_ignore
        if kind is not None:
            self._remember(kind)
        if begins and not self._is_limit_reached():
            self._counted, self._started_s = deepcopy(rules), self._now_s
            self._kinds.clear()
        if self._counted is None:
            rules.update(score)
            return rules
        return self._update_bout(score, kind, rules, self._counted)

    def _update_bout(
        self, score: WindowScore, kind: PassingSound | None, rules: Rules, counted: Rules
    ) -> Rules:
        counted.update(score)
        if kind is not None:
            self._kinds[kind] += 1
            self._elsewhere = score.elsewhere or self._elsewhere
            self._last_s, self._unexplained, self._quiet = self._now_s, 0, 0
            if kind is PassingSound.IMPACT:
                rules.count_once(score)
            if self._is_limit_reached():
                return self._end(counted)
            return rules
        exceeds = score.threshold is not None and (score.value or 0.0) > score.threshold
        self._unexplained += exceeds
        self._quiet += not exceeds
        if self._now_s + self._window_s - self._last_s <= BOUT_GAP_S:
            return rules
        return self._end(counted if self._unexplained > self._quiet else rules)

    def _remember(self, kind: PassingSound) -> None:
        """Remember a window of a passing sound for the limits of a period."""
        oldest_s = self._now_s - PERIOD_S
        while self._recent and self._recent[0][0] < oldest_s:
            self._recent.popleft()
        while self._impact_bouts and self._impact_bouts[0] < oldest_s:
            self._impact_bouts.popleft()
        last_impact_s = max(
            (at_s for at_s, other in self._recent if other is PassingSound.IMPACT),
            default=-PERIOD_S,
        )
        if kind is PassingSound.IMPACT and self._now_s - last_impact_s > BOUT_GAP_S:
            self._impact_bouts.append(self._now_s)
        self._recent.append((self._now_s, kind))

    def _is_limit_reached(self) -> bool:
        """Return whether passing sounds last too long or return too often."""
        elsewhere = sum(kind is PassingSound.ELSEWHERE for _, kind in self._recent)
        passing_s = (len(self._recent) - elsewhere) * self._window_s
        bout_s = self._now_s - self._started_s if self._counted is not None else 0.0
        is_elsewhere = self.kind is PassingSound.ELSEWHERE
        return (
            len(self._impact_bouts) > MAX_IMPACT_BOUTS
            or self._kinds[PassingSound.IMPACT] > MAX_IMPACT_WINDOWS
            or passing_s > MAX_PERIOD_S
            or elsewhere * self._window_s > MAX_ELSEWHERE_S
            or bout_s >= (MAX_ELSEWHERE_S if is_elsewhere else MAX_BOUT_S)
        )

    def _end(self, rules: Rules) -> Rules:
        """End the bout; return the rules that decide from now on."""
        self.skip_gap()
        return rules
