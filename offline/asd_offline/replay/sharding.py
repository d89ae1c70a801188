"""Run one shard of a replay's jobs; the results wait in the output folder for the complete one."""

from asd_monitor.errors import ConfigError
from asd_monitor.progress import NoProgress, Progress
from asd_offline.jobs.pool import JobPool, is_done, sigterm_as_interrupt
from asd_offline.jobs.shards import Shard
from asd_offline.replay.run import (
    PRELOADED_MODULES,
    ReplaySettings,
    plan_replay,
    run_fits,
    run_scores,
    scoring_pool,
)


def replay_shard(
    settings: ReplaySettings, shard: Shard, progress: Progress | None = None
) -> tuple[int, int]:
    """Run the jobs of one shard, without collecting results.

    Shards need not run at the same time, nor on the same computer, but share the output folder.
    When all are finished, :func:`asd_offline.replay.replay` with the same settings has nothing left
    to compute but the report. A section whose clips are in several shards is fitted in each of
    them, unless another was faster, with the same result.

    Parameters
    ----------
    settings
        What is replayed, and how.
    shard
        The part of the score jobs to run.
    progress
        Receives the stages ``fitting`` and ``scoring``.

    Returns
    -------
    tuple[int, int]
        Score jobs of this shard, and of the whole replay.

    Raises
    ------
    ConfigError
        If there is no output folder.
    AsdMonitorError
        As :func:`asd_offline.replay.replay` raises it.
    """
    if settings.out is None:
        msg = "--shard: expected --out with a folder that all shards share, found none"
        raise ConfigError(msg)
    progress = progress or NoProgress()
    plan = plan_replay(settings)
    section_of = {job: section for section in plan.sections for job in plan.score_jobs(section)}
    jobs = shard.take([*section_of])
    needed = {plan.model_path(section_of[job]) for job in jobs}
    fits = [job for job in plan.fit_jobs() if job.model in needed]
    with sigterm_as_interrupt(), JobPool(settings.jobs, PRELOADED_MODULES) as pool:
        run_fits(fits, pool, progress)
        with scoring_pool(pool, settings, plan) as scoring:
            run_scores([job for job in jobs if job.model.exists()], scoring, progress)
    return sum(is_done(job) for job in jobs), len(section_of)
