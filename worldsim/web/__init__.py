"""Worlds in a browser: the page, the folder that plays without a server, and the server for many players."""
