"""The front door of every HTTP server: bounds each connection, and reads requests strictly before a server sees them.

It stands between the socket and the server's own protocol. A head reaches the server whole and checked, so that no two
readers can see different requests; fields after a chunked body are dropped; a connection that is slow, endless or one
of too many costs a timer and a buffer of bounded size.
"""

from hutong.front_door.connection import Bounds, serve, uvicorn_options

__all__ = ["Bounds", "serve", "uvicorn_options"]
