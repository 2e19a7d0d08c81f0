"""Receives letters with aiosmtpd: prints the port, then each letter as a line of JSON.

    receive_by_aiosmtpd.py (starttls|implicit) USER PASSWORD CERTIFICATE KEY
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Print:
    """What is done with a letter."""

    async def handle_DATA(self, server, session, envelope):
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos[0],
                    "subject": letter["subject"],
                    "message-id": letter["message-id"],
                    "auto-submitted": letter["auto-submitted"],
                    "text": letter.get_content(),
                    "user": session.auth_data.decode() if session.auth_data else None,
                    "tls": session.ssl is not None or IS_IMPLICIT,
                }
            ),
            flush=True,
        )
        return "250 taken"


def authenticator(server, session, envelope, mechanism, login):
    is_right = login.login.decode() == USER and login.password.decode() == PASSWORD
    return AuthResult(success=is_right, handled=is_right, auth_data=login.login if is_right else None)


async def serve(context):
    def session():
        return SMTP(
            Print(),
            hostname="localhost",
            tls_context=None if IS_IMPLICIT else context,
            require_starttls=not IS_IMPLICIT,
            authenticator=authenticator,
            auth_required=True,
            auth_require_tls=not IS_IMPLICIT,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", 0, ssl=context if IS_IMPLICIT else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


IS_IMPLICIT = sys.argv[1] == "implicit"
USER, PASSWORD = sys.argv[2:4]
CONTEXT = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CONTEXT.load_cert_chain(*sys.argv[4:6])
asyncio.run(serve(CONTEXT))
