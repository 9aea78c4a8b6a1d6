"""Refusals of the search."""

from __future__ import annotations

from hutong.errors import Conflict, InvalidRequest


class SearchTooWide(InvalidRequest):
    """The search would keep the database busy for too long."""

    code = "search_too_wide"
    http_status = 422


class EventsArchived(Conflict):
    """The first events of a stream are no longer in the database."""

    code = "events_archived"
