"""A clock in Python, with the standard library only."""
import datetime
import http.server
import os
import platform
import signal
import sys


class Clock(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path not in ("/", "/healthz"):
            return self.send_error(404, "there is nothing here")
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%H:%M:%S UTC")
        page = f"<!doctype html><title>Clock</title><h1>{now}</h1><p>Python {platform.python_version()}</p>\n"
        body = (page if self.path == "/" else "ok\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ.get("PORT", "8080"))
    print("listening", port, flush=True)
    http.server.ThreadingHTTPServer(("", port), Clock).serve_forever()
