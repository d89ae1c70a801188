"""Publish results as an edge node of Eclipse Sparkplug B, whose devices are the machines."""
