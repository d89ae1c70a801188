"""The history: scores, states, events and notes, in an SQLite database in the state folder."""
