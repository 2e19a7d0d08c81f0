"""Pushes to the double of APNs with the client library aioapns; prints what it was told as one line of JSON."""

import asyncio
import json
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol

arguments = json.loads(sys.argv[1])
address = urlsplit(arguments["apns"])
# The library knows Apple's address only; nothing else of it is changed.
APNsProductionClientProtocol.APNS_SERVER = address.hostname
APNsProductionClientProtocol.APNS_PORT = address.port


async def push() -> None:
    client = APNs(
        key=Path(arguments["apns_key"]).read_text(),
        key_id=arguments["key_id"],
        team_id=arguments["team_id"],
        topic=arguments["topic"],
        use_sandbox=False,
        ssl_context=ssl.create_default_context(cafile=arguments["ca"]),
    )

    async def one(token: str) -> dict:
        told = await client.send_notification(
            NotificationRequest(
                device_token=token,
                message={"aps": {"alert": {"title": "Log in", "body": "Do you log in?"}}, "v": "1", "t": token[:8]},
                push_type=PushType.ALERT,
                time_to_live=60,
            )
        )
        return {"id": told.notification_id, "status": told.status, "reason": told.description}

    # The first one alone, since APNs allows one stream until it has taken a token; then the others together.
    first, *others = arguments["tokens"]
    replies = [await one(first), *await asyncio.gather(*(one(token) for token in others))]
    print(json.dumps(replies))


asyncio.run(push())
