"""A server of models over HTTP.

`run_server` runs it, `create_app` returns it for another ASGI server. The process that speaks HTTP checks
requests, and loads no engine: that is in worker processes.
"""
