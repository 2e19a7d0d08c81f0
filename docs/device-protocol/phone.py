#!/usr/bin/env python3
"""A phone for the device protocol, written from device-protocol.md alone.

    phone.py enrol --issuer URL --code CODE --app NAME [--pin PIN]
    phone.py list | fetch ID | scan REQUEST-MESSAGE | device | follow
    phone.py answer ID accept|decline|report [--pin PIN] [--number NN]
    phone.py change-pin NEW --pin PRESENT
    phone.py vectors vectors.json

It keeps its keys in the file named by --state (default phone.json); a real phone keeps them in secure hardware.
"""
import argparse, datetime, json, os, re, secrets, sys, time, unicodedata
import urllib.error, urllib.request
from urllib.parse import urlsplit

from jwcrypto import jwk

from keys import enrolling_claims, pin_key, replacing_claims, take_set, with_proof
from sealed import Refused, b64, open_sealed, read_message, unb64
from signed import UnknownKey, check_header, digest, key_named, sha256, sign, strict_json, verify

SHOWN = ("type", "user", "app", "title", "message", "secure_message", "details", "hidden_details", "context")
REPLY_BYTES_MAX, ASK_FOR_KEYS_AFTER_S = 1 << 20, 86400


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


def are_ids(ids):
    """Whether these are the ids of other requests, at least one."""
    return isinstance(ids, list) and len(ids) > 0 and all(isinstance(other, str) for other in ids)


def are_numbers(claims):
    """Whether the number matching is one of the three, with its numbers."""
    numbers = claims.get("numbers")
    if claims.get("number_match") != "choose":
        return claims.get("number_match") in ("off", "type")
    two_digits = lambda number: isinstance(number, str) and re.fullmatch("[0-9]{2}", number)
    return isinstance(numbers, list) and all(map(two_digits, numbers)) and len(numbers) == len(set(numbers)) == 3


def read_challenge(compact, issuer, device_id, server_keys, now, transaction_id=None, uses=("device",)):
    """The claims of a challenge that this phone, which has keys for `uses`, may show; Refused otherwise."""
    claims = verify(compact, "tocsin-challenge+jwt", server_keys)
    key = key_named(check_header(compact, "tocsin-challenge+jwt")["kid"], server_keys)
    seconds = lambda name: isinstance(claims.get(name), (int, float)) and not isinstance(claims[name], bool)
    optional = lambda name, good: name not in claims or good(claims[name])
    checks = {
        "issuer": claims.get("iss") == issuer,
        "device": claims.get("aud") == device_id,
        "transaction": isinstance(claims.get("sub"), str) and transaction_id in (None, claims["sub"]),
        "version": type(claims.get("v")) is int and claims["v"] == 1,
        "lifetime": seconds("iat") and seconds("exp") and now < claims["exp"],
        "server key": seconds("iat") and claims["iat"] < key.get("retired_at", float("inf")),
        "nonce": isinstance(claims.get("nonce"), str) and len(claims["nonce"]) == 22,
        "texts": all(can_show(claims.get(name)) for name in ("type", "app", "title", "message")),
        "user": is_strings(claims.get("user"), {"id", "realm"}),
        "optional texts": all(optional(name, can_show) for name in ("secure_message", "context")),
        "details": optional("details", are_details),
        "hidden details": optional("hidden_details", is_strings),
        "methods": isinstance(claims.get("methods"), list) and any(use in uses for use in claims["methods"]),
        "number matching": are_numbers(claims),
        "replaced requests": optional("replaces", are_ids),
    }
    for what, good in checks.items():
        if not good:
            raise Refused(f"the challenge does not pass: {what}")
    return claims


def shown_of(claims):
    return {name: claims[name] for name in SHOWN if name in claims}


def answer_claims(claims, decision, now, number=None):
    return {"iss": claims["aud"], "sub": claims["sub"], "aud": claims["iss"], "iat": now, "nonce": claims["nonce"],
            "dh": digest(shown_of(claims)), "decision": decision} | ({"number": number} if number else {})


def number_for(claims, number):
    """The number that an approval carries: typed, or one of those shown."""
    if claims["number_match"] == "off":
        return None
    if not number or number not in claims.get("numbers", [number]):
        raise Refused(f"give the number that the portal shows: --number {'|'.join(claims.get('numbers', ['NN']))}")
    return number


class NoRedirect(urllib.request.HTTPRedirectHandler):
    redirect_request = lambda *_: None


class Phone:
    def __init__(self, state):
        self.state, self.key = state, jwk.JWK(**state["key"])
        self.pin, self.number = "", ""

    def now(self):
        return time.time() + self.state.get("offset", 0)

    def proof(self, method, url, body):
        claims = {"aud": self.state["issuer"], "htm": method, "htu": url, "iat": self.now()}
        claims["jti"] = secrets.token_urlsafe(16)
        if "device_id" in self.state:
            claims["iss"] = self.state["device_id"]
        if body:
            claims["body_sha256"] = sha256(body)
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
                return strict_json(reply.read(REPLY_BYTES_MAX) or b"{}")
        except urllib.error.HTTPError as error:
            problem = json.loads(error.read(REPLY_BYTES_MAX) or b"{}")
            if problem.get("code") == "clock_skew" and repeat:
                theirs = datetime.datetime.fromisoformat(problem["server_time"].replace("Z", "+00:00"))
                self.state["offset"] = theirs.timestamp() - time.time()
                return self.call(method, path, content, proven, repeat=False)
            left = f", {problem['attempts_left']} tries left" if "attempts_left" in problem else ""
            raise Refused(f"{error.code} {problem.get('code')}: {problem.get('detail')}{left}") from None

    def pin_key(self, pin):
        return pin_key(unb64(self.state["keystore_key"]), pin, self.key.thumbprint())

    def enrol(self, code, app, name):
        encryption = jwk.JWK(**self.state["encryption_key"])
        keys = [{"use": "device", "jwk": self.key.export_public(as_dict=True)}]
        if self.pin:
            claims = enrolling_claims(self.state["issuer"], "pin", code, self.key.thumbprint(), self.now())
            keys.append({"use": "pin"} | with_proof(self.pin_key(self.pin), claims))
        reply = self.call("POST", "/device/v1/enrollments", {
            "activation_code": code, "name": name, "platform": "other", "app": app, "app_version": "1.0",
            "os_version": sys.platform, "model": "phone.py", "locale": "en", "capabilities": [],
            "push": {"kind": "none"}, "keys": keys, "encryption_jwk": encryption.export_public(as_dict=True)})
        if reply["issuer"] != self.state["issuer"]:
            raise Refused("the server calls itself otherwise")
        self.state |= {name: reply[name] for name in ("device_id", "server_keys", "kids")} | {"kid": reply["kids"]["device"]}
        self.state |= {"keys_iat": 0, "keys_asked_at": self.now()}
        return {name: reply[name] for name in ("device_id", "confirmation_number") if name in reply}

    def device(self):
        return self.call("GET", "/device/v1/device")

    def follow(self):
        """Section 9: the server's present keys, where one that is held vouches for them."""
        published, state = self.call("GET", "/device/v1/server-keys"), self.state
        iat, keys = take_set(published, state["server_keys"], state["issuer"], state["keys_iat"], self.now())
        self.state |= {"server_keys": keys, "keys_iat": iat, "keys_asked_at": self.now()}
        return {"kids": [key["kid"] for key in keys]}

    def read(self, item, transaction_id=None):
        state, sealed = self.state, item.get("sealed")
        if self.now() > state["keys_asked_at"] + ASK_FOR_KEYS_AFTER_S:
            try:
                self.follow()
            except Refused:
                pass  # what it holds stays good
        compact = open_sealed(state["encryption_key"], item["id"], sealed) if sealed else item["challenge"]
        known = lambda: (state["issuer"], state["device_id"], state["server_keys"], self.now(), transaction_id)
        try:
            return read_challenge(compact, *known(), tuple(state["kids"]))
        except UnknownKey:
            self.follow()
        return read_challenge(compact, *known(), tuple(state["kids"]))

    def list(self):
        items = self.call("GET", "/device/v1/transactions")["items"]
        return [{"id": item["id"], "shown": shown_of(self.read(item, item["id"]))} for item in items]

    def fetch(self, transaction_id):
        return self.read(self.call("GET", f"/device/v1/transactions/{transaction_id}"), transaction_id)

    def scan(self, message):
        item = read_message(message)
        return shown_of(self.read(item, item["id"]))

    def claim(self, otp):
        item = self.call("POST", "/device/v1/otp", {"otp": otp})
        return {"id": item["id"], "shown": shown_of(self.read(item, item["id"]))}

    def answer(self, transaction_id, decision):
        challenge, accepts = self.fetch(transaction_id), decision == "accept"
        number = number_for(challenge, self.number) if accepts else None
        claims = answer_claims(challenge, decision, int(self.now()), number)
        by_pin = accepts and "pin" in challenge["methods"] and bool(self.pin)
        if accepts and not by_pin and "device" not in challenge["methods"]:
            raise Refused("this is approved by the PIN: --pin PIN")
        key, kid = (self.pin_key(self.pin), self.state["kids"]["pin"]) if by_pin else (self.key, self.state["kid"])
        token = sign(key, "tocsin-answer+jwt", kid, claims)
        path = f"/device/v1/transactions/{transaction_id}/answer"
        return self.call("POST", path, {"answer": token}, proven=by_pin)

    def change_pin(self, new):
        issuer, device_id, now = self.state["issuer"], self.state["device_id"], self.now()
        key, present = self.pin_key(new), self.pin_key(self.pin)
        body = with_proof(key, replacing_claims(issuer, "pin", device_id, self.key.thumbprint(), now))
        authorization = {"iss": device_id, "aud": issuer, "iat": now, "use": "pin", "key_sha256": key.thumbprint()}
        body["authorization"] = sign(present, "tocsin-key+jwt", self.state["kids"]["pin"], authorization)
        self.state["kids"]["pin"] = self.call("PUT", "/device/v1/keys/pin", body)["kid"]
        return {"changed": "pin"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=(
        "enrol", "list", "fetch", "scan", "claim", "device", "follow", "answer", "change-pin", "vectors"))
    parser.add_argument("arguments", nargs="*")
    defaults = {"issuer": "", "code": "", "app": "bank", "name": "phone.py", "pin": "", "number": ""}
    for name, default in (defaults | {"state": "phone.json"}).items():
        parser.add_argument("--" + name, default=default)
    options = parser.parse_intermixed_args()
    try:
        if options.command == "vectors":
            from check_vectors import check_vectors

            return print(json.dumps(check_vectors(*options.arguments)))
        if options.command == "enrol":
            make = lambda: jwk.JWK.generate(kty="EC", crv="P-256").export(as_dict=True)
            phone = Phone({"issuer": options.issuer, "key": make(), "encryption_key": make(),
                           "keystore_key": b64(secrets.token_bytes(32))})
            phone.pin = options.pin
            result = phone.enrol(options.code, options.app, options.name)
        else:
            with open(options.state, encoding="utf-8") as file:
                phone = Phone(json.load(file))
            phone.pin, phone.number = options.pin, options.number
            result = getattr(phone, options.command.replace("-", "_"))(*options.arguments)
        with open(os.open(options.state, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(phone.state, file)
        print(json.dumps(result, ensure_ascii=False))
    except (Refused, ValueError, KeyError, OSError) as refusal:
        sys.exit(f"refused: {refusal}")


if __name__ == "__main__":
    main()
