"""Publish records over MQTT, and count the delivery of every message."""
