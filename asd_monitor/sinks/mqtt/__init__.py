"""MQTT: a queue, a connection and a delivery count for every message."""
