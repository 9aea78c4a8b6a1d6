"""What the query store refuses."""

from __future__ import annotations

from hutong.errors import Conflict, InvalidRequest


class SearchTooWide(InvalidRequest):
    """The search would keep the database busy for too long."""

    code = "search_too_wide"
    http_status = 422


class EventsArchived(Conflict):
    """The streams do not go back to their beginning any more."""

    code = "events_archived"
