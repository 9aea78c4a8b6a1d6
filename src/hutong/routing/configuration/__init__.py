"""What operators configure: rules, prices, calendars, overrides, suggestions, and the versions of all of it."""
