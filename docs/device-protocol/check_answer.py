#!/usr/bin/env python3
"""Checks the phone's signature in the view of a transaction, as a portal may do by itself.

    check_answer.py VIEW.json DEVICES.json

VIEW is the reply of GET /v1/transactions/{id}, DEVICES that of GET /v1/users/{user}/devices. Prints what was decided.
"""
import json, sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from sealed import Refused, unb64
from signed import digest, strict_json


def public_key(devices, device_id, kid):
    for device in devices["items"]:
        for key in device["keys"]:
            if device["device_id"] == device_id and key["kid"] == kid:
                x, y = (int.from_bytes(unb64(key["jwk"][name]), "big") for name in ("x", "y"))
                return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raise Refused("the device has no such key")


def check_answer(view, devices):
    answer = view["answer"]
    header, claims, signature = map(unb64, answer["jws"].split("."))
    header, claims = strict_json(header), strict_json(claims)
    if header.get("alg") != "ES256" or header.get("typ") != "tocsin-answer+jwt":
        raise Refused("not an answer")
    key = public_key(devices, answer["device_id"], header["kid"])
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        signed = answer["jws"].rpartition(".")[0].encode()
        key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused("wrong signature") from None
    if claims["sub"] != view["id"] or claims["iss"] != answer["device_id"]:
        raise Refused("the answer is to another transaction or by another device")
    if claims["dh"] != digest(view["shown"]):
        raise Refused("something else was shown")
    return claims["decision"]


if __name__ == "__main__":
    try:
        print(check_answer(*(json.load(open(path, encoding="utf-8")) for path in sys.argv[1:3])))
    except (Refused, ValueError, KeyError, OSError) as refusal:
        sys.exit(f"refused: {refusal}")
