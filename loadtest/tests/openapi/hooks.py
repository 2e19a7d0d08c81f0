"""What schemathesis needs to be let in and to meet something: credentials, users, transactions and phones that exist.

Every second call that fits its document has its ids, names and words replaced by ones that the server knows.
"""
import atexit, collections, json, os, sys, time

import requests
import schemathesis

ASKED, DOOR = json.loads(os.environ["TOCSIN_ASKED"]), os.environ["TOCSIN_DOOR"]
sys.path.insert(0, ASKED["protocol"])

from jwcrypto import jwk  # noqa: E402
from phone import Phone  # noqa: E402

# Whom generated calls name; whose phones they remove; whose own calls they are at the device door.
USER, LEAVER, OWNER = "alice", "carol", "bob"
# The brief type ends soon, so that streams do; the other lives for a minute.
APP, TYPE, LASTING_TYPE = "bank", "brief", "login"
CLIENT = tuple(ASKED["client"].split(":", 1))
TURNS = collections.Counter()
SEEN = {}


def portal(path, body):
    reply = requests.post(ASKED["portal"] + path, json=body, auth=CLIENT, timeout=10)
    assert reply.ok, reply.text
    return reply.json()


def enrol(user):
    """A new phone of the user, which nothing is pushed to."""
    code = portal("/v1/enrollments", {"user": user, "app": APP})["activation_code"]
    phone = Phone({"issuer": ASKED["device"], "key": new_key(), "encryption_key": new_key()})
    phone.enrol(code, APP, "schemathesis")
    return phone


def new_key():
    return jwk.JWK.generate(kty="EC", crv="P-256").export(as_dict=True)


def start(type_name):
    return portal("/v1/transactions", {"type": type_name, "user": OWNER})["id"]


class Known:
    """What the server knows, made anew as it is used up."""

    def __init__(self):
        self.phone = enrol(OWNER)
        self.lasting, self.lasting_until = None, 0

    def value(self, method, path, name):
        if name == "user":
            return LEAVER if method in ("PATCH", "DELETE") else USER
        if name == "device_id":
            return enrol(LEAVER).state["device_id"]
        if name == "id" and "/enrollments/" in path:
            return portal("/v1/enrollments", {"user": USER, "app": APP})["id"]
        if name == "id":
            return self.transaction(method, path)
        return None

    def transaction(self, method, path):
        """One that this call may use up, or the one that all others look at."""
        if path.endswith("/events"):
            return start(TYPE)
        if method == "DELETE" or path.endswith("/cancel"):
            return start(LASTING_TYPE)
        if time.monotonic() > self.lasting_until:
            self.lasting, self.lasting_until = start(LASTING_TYPE), time.monotonic() + 30
        return self.lasting


KNOWN = Known()


class Credentials(requests.auth.AuthBase):
    def __call__(self, request):
        if DOOR == "portal":
            return requests.auth.HTTPBasicAuth(*CLIENT)(request)
        if DOOR == "ops":
            request.headers["authorization"] = "Bearer " + ASKED["token"]
            return request
        return self.proven(request)

    def proven(self, request):
        # A phone that leaves is gone for good.
        phone = enrol(OWNER) if request.method == "DELETE" and request.path_url == "/device/v1/device" else KNOWN.phone
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        request.headers["authorization"] = phone.proof(request.method, ASKED["device"] + request.path_url, body)
        return request


schemathesis.auth.set_from_requests(Credentials())


@schemathesis.hook
def before_call(context, case, kwargs):
    keep_short(case)
    spare(case)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    TURNS[case.operation.label] += 1
    if TURNS[case.operation.label] % 2 == 0:
        return
    if isinstance(case.query, dict):
        case.query.pop("realm", None)
    for name in list(case.path_parameters or {}):
        case.path_parameters[name] = KNOWN.value(case.method, case.path, name) or case.path_parameters[name]
    if isinstance(case.body, dict):
        case.body.update({name: word for name, word in words(case).items() if name in case.body})
        for name in ("device_id", "authorized_by", "callback_url", "number_match"):
            case.body.pop(name, None)


def spare(case):
    """Replies tell names, which schemathesis tries elsewhere: phones must stay, and streams end soon."""
    parameters = case.path_parameters or {}
    if case.path.endswith("/events") and parameters.get("id") == KNOWN.lasting:
        parameters["id"] = start(TYPE)
    if case.method in ("PATCH", "DELETE") and any(name in str(parameters.get("user")) for name in (USER, OWNER)):
        parameters["user"] = LEAVER


def words(case):
    user = case.body.get("user")
    return {"user": {"id": USER, "realm": "retail"} if isinstance(user, dict) else USER, "app": APP, "type": TYPE,
            "ttl_s": 1, "filter": "info"}


def keep_short(case):
    """No waits; what the document refuses is sent as it is."""
    for fields in (case.query, case.body):
        wait_s = fields.get("wait_s") if isinstance(fields, dict) else None
        if isinstance(wait_s, (int, str)) and str(wait_s).isdecimal() and int(wait_s) <= 300:
            fields["wait_s"] = 0


@schemathesis.hook
def after_call(context, case, response):
    operation = case.operation.definition.raw.get("operationId", case.operation.label)
    SEEN.setdefault(operation, set()).add(response.status_code)


@atexit.register
def tell():
    with open(os.environ["TOCSIN_SEEN"], "w", encoding="utf-8") as file:
        json.dump({operation: sorted(statuses) for operation, statuses in SEEN.items()}, file)
