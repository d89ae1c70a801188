"""The web page and the JSON API of a running monitor.

Only :mod:`asd_monitor.web.settings` is imported when the page is off; the libraries of the page
are imported by :mod:`asd_monitor.web.service`, which the runtime imports when it is on.
"""
