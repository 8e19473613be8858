"""HTML of the plain pages: one frame, one form, everything from outside escaped."""

from dataclasses import dataclass

from markupsafe import Markup

from portal.texts import TEXTS

_STYLE = Markup(
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:28rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a}"
    "label{display:block;margin:1rem 0 .25rem}"
    "input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem}"
    "button{font:inherit;margin-top:1.5rem;padding:.5rem 1.25rem;border:0;background:#0b5cad;color:#fff}"
    "button:focus-visible,input:focus-visible{outline:3px solid #f0a500}"
    ".failed{border-left:4px solid #b00020;padding-left:1rem}"
)

_FRAME = Markup(
    '<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
    "<body><main><h1>{title}</h1>{content}</main></body></html>"
)


@dataclass(frozen=True, slots=True)
class Field:
    """An input of a form: its name, kind and the texts' key of its label."""

    name: str
    kind: str
    label: str
    autocomplete: str
    minimum: int = 1
    maximum: int = 320
    required: bool = True


def text_page(language: str, title: str, text: str) -> str:
    """Show a title and a sentence.

    Args:
        language: a key of TEXTS.
        title: key of the title's text.
        text: key of the sentence.
    """
    texts = TEXTS[language]
    return _frame(language, texts[title], Markup("<p>{}</p>").format(texts[text]))


def failure_page(language: str, detail: str) -> str:
    """Show what did not work, in the words given."""
    content = Markup('<p class="failed" role="alert">{}</p>').format(detail)
    return _frame(language, TEXTS[language]["failed.title"], content)


def form_page(language: str, name: str, fields: tuple[Field, ...], *, token: str, key: str) -> str:
    """Show a page's form. Only its POST does anything, so a mail scanner that follows the link changes nothing.

    Args:
        name: the page's name in TEXTS.
        token: the link's token, sent along by the form.
        key: idempotency key of this form.
    """
    texts = TEXTS[language]
    inputs = Markup("").join(
        Markup(
            '<label for="{name}">{label}</label><input id="{name}" name="{name}" type="{kind}"{required} '
            'minlength="{minimum}" maxlength="{maximum}" autocomplete="{autocomplete}">'
        ).format(
            name=field.name, label=texts[field.label], kind=field.kind, minimum=field.minimum, maximum=field.maximum,
            autocomplete=field.autocomplete, required=Markup(" required") if field.required else "",
        )
        for field in fields
    )  # fmt: skip
    content = Markup(
        '<p>{text}</p><form method="post"><input type="hidden" name="token" value="{token}">'
        '<input type="hidden" name="key" value="{key}">{inputs}<button>{button}</button></form>'
    ).format(text=texts[f"{name}.text"], token=token, key=key, inputs=inputs, button=texts[f"{name}.button"])
    return _frame(language, texts[f"{name}.title"], content)


def _frame(language: str, title: str, content: Markup) -> str:
    return str(_FRAME.format(language=language, title=title, style=_STYLE, content=content))
