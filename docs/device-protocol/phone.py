#!/usr/bin/env python3
"""A phone for the device protocol, written from device-protocol.md alone.

    phone.py enrol --issuer URL --code CODE --app NAME
    phone.py list | fetch ID | scan REQUEST-MESSAGE | answer ID accept|decline|report
    phone.py vectors vectors.json

It keeps its keys in the file named by --state (default phone.json); a real phone keeps them in secure hardware.
"""
import argparse, datetime, hashlib, json, os, secrets, sys, time, unicodedata
import urllib.error, urllib.request
from urllib.parse import urlsplit

from jwcrypto import jwk, jws

from sealed import Refused, b64, open_sealed, read_message, unb64

SHOWN = ("type", "user", "app", "title", "message", "secure_message", "details", "hidden_details", "context")
FORBIDDEN_HEADERS = ("jwk", "jku", "x5u", "x5c", "crit", "b64")
JWS_BYTES_MAX, REPLY_BYTES_MAX = 8192, 1 << 20


def strict_json(raw):
    def once(pairs):
        if len(dict(pairs)) != len(pairs):
            raise Refused("a name stands twice")
        return dict(pairs)

    return json.loads(raw, object_pairs_hook=once)


def canonical(value):
    """RFC 8785 for objects and arrays whose leaves are strings."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(canonical(name) + ":" + canonical(value[name]) for name in names) + "}"
    raise Refused("only strings are shown")


def digest(shown):
    return b64(hashlib.sha256(canonical(shown).encode()).digest())


def check_header(compact, typ):
    """Section 2 up to the signature; gives the header."""
    if len(compact) > JWS_BYTES_MAX or compact.count(".") != 2:
        raise Refused("not a compact JWS of at most 8 KiB")
    header = strict_json([unb64(part) for part in compact.split(".")][0])
    if not isinstance(header, dict) or header.get("typ") != typ or header.get("alg") != "ES256":
        raise Refused("wrong typ or alg")
    if any(name in header for name in FORBIDDEN_HEADERS):
        raise Refused("forbidden header member")
    return header


def verify(compact, typ, keys):
    """The claims of a JWS by one of `keys`, a list of JWKs with kid."""
    header = check_header(compact, typ)
    key = next((key for key in keys if key["kid"] == header.get("kid")), None)
    if key is None:
        raise Refused("signed by a key that this phone does not hold")
    token = jws.JWS()
    token.allowed_algs = ["ES256"]
    try:
        token.deserialize(compact, jwk.JWK(**{name: key[name] for name in ("kty", "crv", "x", "y")}))
    except jws.InvalidJWSSignature:
        raise Refused("wrong signature") from None
    claims = strict_json(token.payload)
    if not isinstance(claims, dict):
        raise Refused("the payload is not an object")
    return claims


def sign(key, typ, kid, claims):
    header = {"alg": "ES256", "typ": typ} | ({"kid": kid} if kid else {})
    token = jws.JWS(json.dumps(claims).encode())
    token.add_signature(key, None, json.dumps(header))
    return token.serialize(compact=True)


def can_show(text):
    """A terminal shows neither control characters nor what turns the direction of the text around it."""
    turns = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return isinstance(text, str) and not any(
        char in turns or (char != "\n" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")) for char in text
    )


def is_strings(value, names=None):
    return isinstance(value, dict) and all(map(can_show, value.values())) and (names is None or set(value) == names)


def are_details(value):
    return isinstance(value, list) and all(is_strings(detail, {"label", "value"}) for detail in value)


def read_challenge(compact, issuer, device_id, server_keys, now, transaction_id=None):
    """The claims of a challenge that this phone may show; Refused otherwise."""
    claims = verify(compact, "tocsin-challenge+jwt", server_keys)
    seconds = lambda name: isinstance(claims.get(name), (int, float)) and not isinstance(claims[name], bool)
    optional = lambda name, good: name not in claims or good(claims[name])
    checks = {
        "issuer": claims.get("iss") == issuer,
        "device": claims.get("aud") == device_id,
        "transaction": isinstance(claims.get("sub"), str) and transaction_id in (None, claims["sub"]),
        "version": type(claims.get("v")) is int and claims["v"] == 1,
        "lifetime": seconds("iat") and seconds("exp") and now < claims["exp"],
        "nonce": isinstance(claims.get("nonce"), str) and len(claims["nonce"]) == 22,
        "texts": all(can_show(claims.get(name)) for name in ("type", "app", "title", "message")),
        "user": is_strings(claims.get("user"), {"id", "realm"}),
        "optional texts": all(optional(name, can_show) for name in ("secure_message", "context")),
        "details": optional("details", are_details),
        "hidden details": optional("hidden_details", is_strings),
        "methods": isinstance(claims.get("methods"), list) and "device" in claims["methods"],
        "number matching": claims.get("number_match") == "off",
    }
    for what, good in checks.items():
        if not good:
            raise Refused(f"the challenge does not pass: {what}")
    return claims


def shown_of(claims):
    return {name: claims[name] for name in SHOWN if name in claims}


def answer_claims(claims, decision, now):
    return {"iss": claims["aud"], "sub": claims["sub"], "aud": claims["iss"], "iat": now, "nonce": claims["nonce"],
            "dh": digest(shown_of(claims)), "decision": decision}


class NoRedirect(urllib.request.HTTPRedirectHandler):
    redirect_request = lambda *_: None


class Phone:
    def __init__(self, state):
        self.state, self.key = state, jwk.JWK(**state["key"])

    def now(self):
        return time.time() + self.state.get("offset", 0)

    def proof(self, method, url, body):
        claims = {"aud": self.state["issuer"], "htm": method, "htu": url, "iat": self.now()}
        claims["jti"] = secrets.token_urlsafe(16)
        if "device_id" in self.state:
            claims["iss"] = self.state["device_id"]
        if body:
            claims["body_sha256"] = b64(hashlib.sha256(body).digest())
        return "Tocsin " + sign(self.key, "tocsin-proof+jwt", self.state.get("kid"), claims)

    def call(self, method, path, content=None, proven=True, repeat=True):
        url = self.state["issuer"] + path
        body = b"" if content is None else json.dumps(content).encode()
        headers = {"content-type": "application/json"} if body else {}
        if proven:
            headers["authorization"] = self.proof(method, url, body)
        request = urllib.request.Request(url, data=body or None, headers=headers, method=method)
        if not url.startswith("https://") and urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost"):
            raise Refused("plain HTTP only to this machine")
        try:
            with urllib.request.build_opener(NoRedirect).open(request, timeout=10) as reply:
                return strict_json(reply.read(REPLY_BYTES_MAX))
        except urllib.error.HTTPError as error:
            problem = json.loads(error.read(REPLY_BYTES_MAX) or b"{}")
            if problem.get("code") == "clock_skew" and repeat:
                theirs = datetime.datetime.fromisoformat(problem["server_time"].replace("Z", "+00:00"))
                self.state["offset"] = theirs.timestamp() - time.time()
                return self.call(method, path, content, proven, repeat=False)
            raise Refused(f"{error.code} {problem.get('code')}: {problem.get('detail')}") from None

    def enrol(self, code, app, name):
        encryption = jwk.JWK(**self.state["encryption_key"])
        reply = self.call("POST", "/device/v1/enrollments", {
            "activation_code": code, "name": name, "platform": "other", "app": app, "app_version": "1.0",
            "os_version": sys.platform, "model": "phone.py", "locale": "en", "capabilities": [],
            "push": {"kind": "none"}, "keys": [{"use": "device", "jwk": self.key.export_public(as_dict=True)}],
            "encryption_jwk": encryption.export_public(as_dict=True)})
        if reply["issuer"] != self.state["issuer"]:
            raise Refused("the server calls itself otherwise")
        self.state |= {name: reply[name] for name in ("device_id", "server_keys")} | {"kid": reply["kids"]["device"]}
        return {"device_id": reply["device_id"]}

    def read(self, item, transaction_id=None):
        state = self.state
        known = (state["issuer"], state["device_id"], state["server_keys"])
        sealed = item.get("sealed")
        compact = open_sealed(state["encryption_key"], item["id"], sealed) if sealed else item["challenge"]
        return read_challenge(compact, *known, self.now(), transaction_id)

    def list(self):
        items = self.call("GET", "/device/v1/transactions")["items"]
        return [{"id": item["id"], "shown": shown_of(self.read(item, item["id"]))} for item in items]

    def fetch(self, transaction_id):
        return self.read(self.call("GET", f"/device/v1/transactions/{transaction_id}"), transaction_id)

    def scan(self, message):
        item = read_message(message)
        return shown_of(self.read(item, item["id"]))

    def answer(self, transaction_id, decision):
        claims = answer_claims(self.fetch(transaction_id), decision, int(self.now()))
        token = sign(self.key, "tocsin-answer+jwt", self.state["kid"], claims)
        return self.call("POST", f"/device/v1/transactions/{transaction_id}/answer", {"answer": token}, proven=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("enrol", "list", "fetch", "scan", "answer", "vectors"))
    parser.add_argument("arguments", nargs="*")
    for name, default in (("issuer", ""), ("code", ""), ("app", "bank"), ("name", "phone.py"), ("state", "phone.json")):
        parser.add_argument("--" + name, default=default)
    options = parser.parse_intermixed_args()
    try:
        if options.command == "vectors":
            from check_vectors import check_vectors

            return print(json.dumps(check_vectors(*options.arguments)))
        if options.command == "enrol":
            make = lambda: jwk.JWK.generate(kty="EC", crv="P-256").export(as_dict=True)
            phone = Phone({"issuer": options.issuer, "key": make(), "encryption_key": make()})
            result = phone.enrol(options.code, options.app, options.name)
        else:
            with open(options.state, encoding="utf-8") as file:
                phone = Phone(json.load(file))
            result = getattr(phone, options.command)(*options.arguments)
        with open(os.open(options.state, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(phone.state, file)
        print(json.dumps(result, ensure_ascii=False))
    except (Refused, ValueError, KeyError, OSError) as refusal:
        sys.exit(f"refused: {refusal}")


if __name__ == "__main__":
    main()
