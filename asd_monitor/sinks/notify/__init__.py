"""Notify people of alarms by e-mail, messengers and webhooks, through Apprise."""
