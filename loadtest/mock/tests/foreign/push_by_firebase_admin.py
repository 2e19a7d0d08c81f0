"""Pushes to the double of FCM with Google's own firebase-admin; prints what it was told as one line of JSON."""

import json
import os
import sys

arguments = json.loads(sys.argv[1])
# The library trusts the authorities that this names, for the token endpoint and for FCM.
os.environ["REQUESTS_CA_BUNDLE"] = arguments["ca"]

import firebase_admin  # noqa: E402
from firebase_admin import credentials, exceptions, messaging  # noqa: E402

# It knows Google's address only; nothing else of it is changed.
messaging._MessagingService.FCM_URL = arguments["fcm"] + "/v1/projects/{0}/messages:send"

firebase_admin.initialize_app(credentials.Certificate(arguments["fcm_service_account"]))


def push(target: dict) -> dict:
    message = messaging.Message(
        **target,
        data={"v": "1", "t": "a-transaction"},
        android=messaging.AndroidConfig(priority="high", ttl=60),
    )
    try:
        return {"name": messaging.send(message)}
    except exceptions.FirebaseError as error:
        return {"error": type(error).__name__, "status": error.http_response.status_code}


print(json.dumps([push(target) for target in arguments["targets"]]))
