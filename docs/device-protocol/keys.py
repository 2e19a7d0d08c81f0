"""The server's keys as they change, and the key that a PIN leads to: sections 9 and 10 of device-protocol.md."""
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwcrypto import jwk

from sealed import Refused, unb64
from signed import UnknownKey, sha256, sign, verify

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SET_BYTES_MAX = 1 << 20


def take_set(published, held, issuer, last_iat, now):
    """`iat` and keys of a published set; Refused when the set may not take the place of the keys `held`."""
    claims = None
    for signature in published["signatures"]:
        compact = f'{signature["protected"]}.{published["payload"]}.{signature["signature"]}'
        try:
            claims = verify(compact, "tocsin-keys+jwt", held, SET_BYTES_MAX)
            break
        except UnknownKey:
            continue
    if claims is None:
        raise Refused("no key that this phone holds vouches for these server keys")
    if claims["iss"] != issuer or claims["iat"] < last_iat or claims["exp"] <= now or not claims["keys"]:
        raise Refused("these server keys are another server's, older than the last ones, or out of date")
    ends = lambda entry: {"retired_at": entry["retired_at"]} if "retired_at" in entry else {}
    return claims["iat"], [dict(entry["jwk"], kid=entry["kid"]) | ends(entry) for entry in claims["keys"]]


def pin_steps(keystore_key, pin, device_thumbprint):
    """From the PIN to the key: `ikm`, the output of HKDF, the scalar."""
    ikm = hmac.digest(keystore_key, pin.encode(), "sha256")
    hkdf = HKDF(algorithm=hashes.SHA256(), length=48, salt=unb64(device_thumbprint), info=b"tocsin/v1/pin-key")
    wide = hkdf.derive(ikm)
    return ikm, wide, 1 + int.from_bytes(wide, "big") % (ORDER - 1)


def pin_key(keystore_key, pin, device_thumbprint):
    """The key of a PIN, right or wrong; kept nowhere."""
    return jwk.JWK.from_pyca(ec.derive_private_key(pin_steps(keystore_key, pin, device_thumbprint)[2], ec.SECP256R1()))


def enrolling_claims(issuer, use, code, device_thumbprint, now):
    return {"aud": issuer, "iat": now, "use": use, "activation_code_sha256": sha256(code.encode()),
            "device_key_sha256": device_thumbprint}


def replacing_claims(issuer, use, device_id, device_thumbprint, now):
    return {"aud": issuer, "iat": now, "use": use, "iss": device_id, "device_key_sha256": device_thumbprint}


def with_proof(key, claims):
    """An entry of `keys`, or the body of a change: the public key, proved by itself."""
    return {"jwk": key.export_public(as_dict=True), "proof": sign(key, "tocsin-enrol+jwt", None, claims)}
