"""Back ends: from feature vectors of normal sound to an anomaly score, inside the model file.

Each file fits one kind of score on the normal feature vectors of one target and gives a module
that scripts and maps features ``(batch, dims)`` to scores ``(batch,)``; higher = more anomalous.
:class:`~asd_monitor.backends.per_target.PerTarget` holds one such module for each target.

Windows of the same recording, or close in time, are nearly alike. The argument ``groups`` of the
neighbour back ends says which reference vectors belong together, so that none of them is found
normal because of a copy of itself.
"""
