"""Which faults a learned machine can and cannot detect: measured with injected faults.

Not to be confused with :mod:`asd_monitor.runtime.sensitivity`, the setting of the alarm in a word.
"""
