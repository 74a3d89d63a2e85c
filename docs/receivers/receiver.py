"""A receiver of Zoho CRM notifications: Python 3.9 or later, nothing else.

CHANNEL_TOKENS: the tokens that are accepted, with commas between them. LISTEN: host:port.
"""

import hmac
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKENS = [token.encode() for token in os.environ["CHANNEL_TOKENS"].split(",")]
BODY_MAX = 1 << 20
seen = set()  # in production: a unique key of your queue's table, kept for some days


def accepted(token):
    """Compares with every token, so that the time it takes tells nothing."""
    given = token.encode() if isinstance(token, str) else b""
    return sum(hmac.compare_digest(given, known) for known in TOKENS) > 0


def key(delivery):
    """The same delivery twice has the same key."""
    said = ("channel_id", "module", "operation", "server_time", "ids")
    return json.dumps([delivery.get(name) for name in said])


def recovered(delivery):
    """True when it was missed, and channelkeeper hands it over later: fetch the record on an update."""
    params = delivery.get("query_params")
    return isinstance(params, dict) and "channelkeeper_recovered" in params


class Receiver(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= BODY_MAX:
            return self.answer(413)
        try:
            delivery = json.loads(self.rfile.read(length))
        except ValueError:
            return self.answer(400)
        if not isinstance(delivery, dict) or not accepted(delivery.get("token")):
            return self.answer(401)
        if delivery.get("channelkeeper_canary"):
            return self.answer(200)  # a test of channelkeeper's own: nothing happened
        if key(delivery) not in seen:
            seen.add(key(delivery))
            # In production: put it into a durable queue here, and answer only when it is there.
            verb = "take recovered" if recovered(delivery) else "take"
            print(verb, delivery["module"], delivery["operation"], *delivery["ids"], flush=True)
        self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass  # the default writes a line per request; never log bodies, they carry the token


if __name__ == "__main__":
    host, port = os.environ.get("LISTEN", "127.0.0.1:8080").rsplit(":", 1)
    server = ThreadingHTTPServer((host, int(port)), Receiver)
    print("listening on http://%s:%d" % server.server_address[:2], flush=True)
    server.serve_forever()
