"""Sealed challenges and request messages, sections 5 and 6 of device-protocol.md; HPKE (RFC 9180) by pyhpke."""
import base64

from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey, OpenError

INFO = b"tocsin/v1/challenge"
SUITE = CipherSuite.new(KEMId.DHKEM_P256_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)


class Refused(Exception):
    """What this phone will not do, or what the server would not."""


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text):
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise Refused("not base64url") from None
    if b64(raw) != text:
        raise Refused("not canonical base64url")
    return raw


def open_raw(private_jwk, info, aad, enc, ct):
    return SUITE.create_recipient_context(enc, KEMKey.from_jwk(private_jwk), info=info).open(ct, aad=aad)


def open_sealed(private_jwk, transaction_id, sealed):
    """The compact JWS in {"enc", "ct"}; Refused when it is not for this key and this transaction."""
    try:
        enc, ct = unb64(sealed["enc"]), unb64(sealed["ct"])
        return open_raw(private_jwk, INFO, transaction_id.encode(), enc, ct).decode()
    except OpenError:
        raise Refused("the seal is not for this phone and this transaction") from None


def read_message(text):
    """A request message in the form of a fetched item: {"id", "sealed"} or {"id", "challenge"}."""
    scheme, _, query = text.partition("?")
    pairs = dict(pair.partition("=")[::2] for pair in query.split("&"))
    if scheme != "tocsin:1" or set(pairs) not in ({"t", "enc", "ct"}, {"t", "c"}):
        raise Refused("this is no request message")
    item = {"id": pairs["t"]}
    return item | ({"challenge": pairs["c"]} if "c" in pairs else {"sealed": {"enc": pairs["enc"], "ct": pairs["ct"]}})
