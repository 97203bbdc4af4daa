"""The doctor: checks of data sets before time is spent on them, for people and for CI."""
