"""What is signed and how: sections 2 and 7 of device-protocol.md."""
import hashlib, json

from jwcrypto import jwk, jws

from sealed import Refused, b64, unb64

FORBIDDEN_HEADERS = ("jwk", "jku", "x5u", "x5c", "crit", "b64")
JWS_BYTES_MAX = 8192


class UnknownKey(Refused):
    """Signed by a server key that this phone does not hold, at least not yet."""


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


def sha256(raw):
    return b64(hashlib.sha256(raw).digest())


def digest(shown):
    return sha256(canonical(shown).encode())


def check_header(compact, typ, bytes_max=JWS_BYTES_MAX):
    """Section 2 up to the signature; gives the header."""
    if len(compact) > bytes_max or compact.count(".") != 2:
        raise Refused("not a compact JWS of at most 8 KiB")
    header = strict_json([unb64(part) for part in compact.split(".")][0])
    if not isinstance(header, dict) or header.get("typ") != typ or header.get("alg") != "ES256":
        raise Refused("wrong typ or alg")
    if any(name in header for name in FORBIDDEN_HEADERS):
        raise Refused("forbidden header member")
    return header


def key_named(kid, keys):
    """The one of `keys`, a list of JWKs with kid, that has this name."""
    key = next((key for key in keys if key["kid"] == kid), None)
    if key is None:
        raise UnknownKey("signed by a key that this phone does not hold")
    return key


def verify(compact, typ, keys, bytes_max=JWS_BYTES_MAX):
    """The claims of a JWS by one of `keys`."""
    key = key_named(check_header(compact, typ, bytes_max).get("kid"), keys)
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
