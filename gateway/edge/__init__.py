"""Where callers meet the gateway: our own HTTP/1.1 server, and the ASGI entrance."""
