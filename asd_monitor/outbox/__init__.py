"""Messages that wait for a broker: committed before they are sent, kept until acknowledged."""
