"""Backends: from feature vectors of normal sound to an anomaly score, inside the model file.

Each module fits one kind of score on the normal feature vectors of one target. The result is a
module that can be scripted and maps features ``(batch, dims)`` to scores ``(batch,)``; higher =
more anomalous. :class:`~asd_monitor.backends.per_target.PerTarget` holds one for each target.

Windows of the same recording, or close in time, are nearly identical. The argument ``groups`` of
the neighbour backends says which reference vectors belong together, so that none of them looks
normal merely because of a near copy of itself.
"""
