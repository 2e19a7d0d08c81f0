"""Holds phone.py against vectors.json."""
import hashlib, json

from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto import jwk

from keys import enrolling_claims, pin_key, pin_steps, replacing_claims
from phone import answer_claims, read_challenge, shown_of
from sealed import Refused, b64, open_raw, open_sealed, read_message, unb64
from signed import canonical, check_header, digest, sha256, strict_json, verify


def check_vectors(path, rfc9180="rfc9180.json"):
    check_rfc9180(rfc9180)
    with open(path, encoding="utf-8") as file:
        v = strict_json(file.read())
    keys = {name: dict(key["jwk"], kid=key["kid"]) for name, key in v["keys"].items()}
    for key in v["keys"].values():
        scalar = hashlib.sha256(key["label"].encode()).digest()
        point = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1()).public_key().public_numbers()
        assert b64(scalar) == key["test_scalar"] and b64(point.x.to_bytes(32, "big")) == key["jwk"]["x"]
        public = canonical({name: key["jwk"][name] for name in ("kty", "crv", "x", "y")})
        assert sha256(public.encode()) == key["thumbprint"]
    for form in v["canonical"]:
        assert canonical(form["value"]) == form["canonical"] and digest(form["value"]) == form["sha256"]
    for proof in v["proofs"]:
        compact = proof["authorization"].removeprefix("Tocsin ")
        kid = check_header(compact, "tocsin-proof+jwt").get("kid")
        assert verify(compact, "tocsin-proof+jwt", [dict(keys["device"], kid=kid)]) == proof["claims"]
        body = proof["body"].encode()
        assert proof["claims"].get("body_sha256") == (sha256(body) if body else None)
    known = (v["issuer"], v["device_id"], [keys["server"]], v["now"], v["transaction_id"])
    read = lambda compact: read_challenge(compact, *known)
    claims, challenge = read(v["challenge"]["jws"]), v["challenge"]
    assert claims == challenge["claims"] and shown_of(claims) == challenge["shown"]
    assert canonical(challenge["shown"]) == challenge["shown_canonical"] and digest(challenge["shown"]) == challenge["dh"]
    for bad in v["refused_challenges"]:
        try:
            read(bad["jws"])
        except Refused:
            continue
        raise AssertionError("not refused: " + bad["why"])
    for answer in v["answers"]:
        assert answer_claims(claims, answer["decision"], answer["claims"]["iat"]) == answer["claims"]
        for form in ("jws", "same_with_other_s"):
            assert verify(answer[form], "tocsin-answer+jwt", [keys["device"]]) == answer["claims"]
    check_seals(v)
    check_keys(v, keys["device"])
    return {"vectors": "all as told"}


def check_keys(v, device_key):
    """The way from a PIN to its key, and what a further key proves itself with."""
    for given in v["pin_keys"]:
        arguments = (unb64(given["keystore_key"]), given["pin"], given["device_key_thumbprint"])
        ikm, wide, scalar = pin_steps(*arguments)
        assert (b64(ikm), b64(wide), b64(scalar.to_bytes(32, "big"))) == (given["ikm"], given["hkdf"], given["scalar"])
        assert pin_key(*arguments).export_public(as_dict=True).items() >= given["jwk"].items()
    further, of_device = v["further_key"], jwk.JWK(**{name: device_key[name] for name in ("kty", "crv", "x", "y")})
    enrolling, replacing = further["enrolling"], further["replacing"]
    code = next(json.loads(proof["body"])["activation_code"] for proof in v["proofs"] if "activation_code" in proof["body"])
    expected = enrolling_claims(v["issuer"], "biometric", code, of_device.thumbprint(), enrolling["claims"]["iat"])
    assert expected == enrolling["claims"]
    expected = replacing_claims(v["issuer"], "biometric", v["device_id"], of_device.thumbprint(), replacing["claims"]["iat"])
    assert expected == replacing["claims"]
    for proof in (enrolling, replacing):
        assert "kid" not in check_header(proof["jws"], "tocsin-enrol+jwt")
        assert verify(proof["jws"], "tocsin-enrol+jwt", [dict(further["jwk"], kid=None)]) == proof["claims"]


def check_seals(v):
    encryption = v["sealed"]["key"]
    private = dict(encryption["jwk"], d=encryption["test_scalar"])
    for message in v["sealed"]["request_messages"]:
        item = read_message(message["text"])
        sealed = item.get("sealed")
        compact = open_sealed(private, item["id"], sealed) if sealed else item["challenge"]
        assert item["id"] == v["transaction_id"] and compact == v["challenge"]["jws"]
    for bad in v["sealed"]["refused"]:
        try:
            open_sealed(private, bad["transaction_id"], bad["sealed"])
        except Refused:
            continue
        raise AssertionError("not refused: " + bad["why"])


def check_rfc9180(path):
    """The CFRG's vectors: this Python's HPKE opens them as the server's does."""
    with open(path, encoding="utf-8") as file:
        vector = strict_json(file.read())["vector"]
    value = lambda name: bytes.fromhex(vector[name])
    point, first = value("pkRm"), vector["encryptions"][0]
    private = {"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:]), "d": b64(value("skRm"))}
    plain = open_raw(private, value("info"), bytes.fromhex(first["aad"]), value("enc"), bytes.fromhex(first["ct"]))
    assert plain == bytes.fromhex(first["pt"])
