"""Configuration by operators: rules, prices, calendars, overrides, suggestions, and the versions of the document."""
