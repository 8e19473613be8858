"""Makes a message of a template: plain text and HTML side by side. Standard library only."""

from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from urllib.parse import quote, urlsplit

from services.accounts.mails.acts import told
from services.accounts.mails.texts import GREETING, SIGNATURE, TEXTS, Text

_HTML = """\
<!DOCTYPE html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<title>{subject}</title></head>
<body style="font-family:sans-serif;line-height:1.5;max-width:40em">
<p>{greeting}</p>
<p>{opening}</p>
{act}{link}<p>{closing}</p>
<p style="color:#555">{signature}</p>
</body></html>
"""


def render(
    template: str,
    language: str,
    to: str,
    values: Mapping[str, str],
    *,
    public_url: str,
    mail_id: str,
    created_at: datetime,
) -> EmailMessage:
    """Return the message of one mail; the same arguments make the same message, so that a repeat is recognized.

    Args:
        template: key of `TEXTS`.
        language: `en` or `de`; another one gets English.
        to: address of the recipient.
        values: `token` for a template with a link; `act`, a key of `ACTS`, where it tells what was done.
        public_url: address of the portal; the host never comes from a request (S10).
        mail_id: becomes the Message-ID.
        created_at: becomes the Date.
    """
    tongue = language if language in TEXTS[template] else "en"
    text = TEXTS[template][tongue]
    host = urlsplit(public_url).hostname or "localhost"
    # Lines of quoted-printable have at most 76 characters (RFC 2045 6.7); SMTP's 78 are those of RFC 5322.
    message = EmailMessage(policy=SMTP.clone(max_line_length=76))
    message["Subject"] = text.subject
    message["From"] = f"{SIGNATURE[tongue]} <no-reply@{host}>"
    message["To"] = to
    message["Date"] = format_datetime(created_at)
    message["Message-ID"] = f"<{mail_id}@{host}>"
    message["Auto-Submitted"] = "auto-generated"
    parts = [GREETING[tongue], text.opening]
    act = told(values["act"], tongue, created_at) if "act" in values else ""
    if act:
        parts.append(act)
    link = ""
    if text.path is not None:
        query = f"?token={quote(values['token'], safe='')}" if "token" in values and text.path != "/login" else ""
        address = f"{public_url}{text.path}{query}"
        parts.append(address)
        link = f'<p><a href="{escape(address)}">{escape(text.label)}</a></p>\n<p>{escape(address)}</p>\n'
    parts += [text.closing, f"-- \n{SIGNATURE[tongue]}"]
    message.set_content("\n\n".join(parts) + "\n", cte="quoted-printable")
    page = _page(tongue, text, act, link)
    message.add_alternative(page, subtype="html", cte="quoted-printable")
    # Set last: what stands here before goes into the first part.
    message["Content-Language"] = tongue
    return message


def _page(tongue: str, text: Text, act: str, link: str) -> str:
    return _HTML.format(
        language=tongue,
        subject=escape(text.subject),
        greeting=escape(GREETING[tongue]),
        opening=escape(text.opening),
        act=f"<p>{escape(act)}</p>\n" if act else "",
        link=link,
        closing=escape(text.closing),
        signature=escape(SIGNATURE[tongue]),
    )
