"""What people do about events: acknowledge, judge, comment, shelve; feedback to the model."""
