"""German for what stands inside of answers and refusals: results of single lines, reasons of actions, wrong fields.

A refusal as a whole is worded by `gateway.problems`. Rooms answer in English, also to a repeated request; the language
is that of this request, so it is the door that puts each sentence into it, with the facts that stand beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

Sentence = Callable[[str, str], str]
# Lines of the history whose reason is a sentence of ours; others were written by persons, in whatever language.
_REASONED: Final = frozenset({"certificate_revoked"})

# What marshmallow and our own fields say of a value, and the same in German with its numbers.
_FIELDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), german)
    for pattern, german in (
        (r"Must have at least (\d+) characters\.", r"Mindestens \1 Zeichen sind nötig."),
        (r"Must have at most (\d+) characters\.", r"Höchstens \1 Zeichen sind erlaubt."),
        (
            r"Must not contain (U\+\w+): write one line, without control and invisible characters\.",
            r"\1 ist nicht erlaubt: Schreiben Sie eine Zeile, ohne Steuerzeichen und unsichtbare Zeichen.",
        ),
        (
            r"Must not contain (U\+\w+): leave out control and invisible characters; lines end with U\+000A\.",
            r"\1 ist nicht erlaubt: Lassen Sie Steuerzeichen und unsichtbare Zeichen weg; Zeilen enden mit U+000A.",
        ),
        (r"Must not contain NUL or half surrogate pairs\.", "NUL und halbe Surrogatpaare sind nicht erlaubt."),
        (r"Must not be 0\.", "Der Wert darf nicht 0 sein."),
        (r"Missing data for required field\.", "Dieses Feld fehlt."),
        (r"Unknown field\.", "Dieses Feld gibt es hier nicht."),
        (r"Field may not be null\.", "Dieses Feld darf nicht null sein."),
        (r"Not a valid string\.", "Das muss ein Text sein."),
        (r"Not a valid utf-8 string\.", "Das muss ein Text in UTF-8 sein."),
        (r"Not a valid integer\.", "Das muss eine ganze Zahl sein."),
        (r"Number too large\.", "Die Zahl ist zu groß."),
        (r"Not a valid boolean\.", "Das muss true oder false sein."),
        (r"Not a valid list\.", "Das muss eine Liste sein."),
        (r"Not a valid mapping type\.|Not a valid object\.", "Das muss ein JSON-Objekt sein."),
        (r"Invalid input type\.|Invalid type\.", "Das muss ein JSON-Objekt sein."),
        (r"Not a valid date\.", "Das muss ein Datum wie 2026-11-24 sein."),
        (r"Not a valid email address\.", "Das muss eine E-Mail-Adresse sein."),
        (
            r"Not a valid email address: up to (\d+) ASCII characters, @ and a name; write other .+ in its xn-- form\.",
            r"Das muss eine E-Mail-Adresse sein: bis zu \1 ASCII-Zeichen, @ und ein Name, andere Zeichen in xn---Form.",
        ),
        (
            r"Not a valid time; write it as 2026-11-24T08:45:34Z or with an offset\.",
            "Das ist kein Zeitpunkt; schreiben Sie ihn als 2026-11-24T08:45:34Z oder mit einer Abweichung von UTC.",
        ),
        (r"String does not match expected pattern\.", "Der Text hat nicht die erwartete Form."),
        (r"Invalid value\.|Invalid input\.", "Der Wert ist nicht gültig."),
        (r"Must not be empty\.", "Das Feld darf nicht leer sein."),
        (r"Must not be empty; leave the parameter out\.", "Der Parameter ist leer; lassen Sie ihn weg."),
        (r"Must be given once\.", "Der Parameter darf nur einmal angegeben werden."),
        (r"Must be printable UTF-8\.", "Das muss druckbares UTF-8 sein."),
        (r"Shorter than minimum length (\d+)\.", r"Mindestens \1 Stellen sind nötig."),
        (r"Longer than maximum length (\d+)\.", r"Höchstens \1 Stellen sind erlaubt."),
        (r"Length must be between (\d+) and (\d+)\.", r"Die Länge muss zwischen \1 und \2 liegen."),
        (r"Length must be (\d+)\.", r"Die Länge muss \1 sein."),
        (r"Must be greater than or equal to (\S+)\.", r"Der Wert muss mindestens \1 sein."),
        (r"Must be less than or equal to (\S+)\.", r"Der Wert darf höchstens \1 sein."),
        (
            r"Must be greater than or equal to (\S+) and less than or equal to (\S+)\.",
            r"Der Wert muss zwischen \1 und \2 liegen.",
        ),
        (r"Must be one of: (.+)\.", r"Der Wert muss einer von diesen sein: \1."),
        (
            r"Must be an id as this interface gives it out\.",
            "Das muss eine Kennung sein, wie diese Schnittstelle sie ausgibt.",
        ),
        (r"Must hold at least one device\.", "Mindestens ein Gerät ist nötig."),
        (r"Give exactly one of (.+) and (\w+)\.", r"Geben Sie genau eines an von: \1, \2."),
        (r"Give (.+) or both\.", r"Geben Sie mindestens eines an von: \1."),
        (
            r"Send the SHA-256 fingerprint that the device shows: 64 hexadecimal digits\.",
            "Senden Sie den SHA-256-Fingerabdruck, den das Gerät zeigt: 64 hexadezimale Ziffern.",
        ),
        (r"(GET|DELETE) takes no body here; leave it out\.", r"\1 nimmt hier keinen Inhalt an; lassen Sie ihn weg."),
        (r"The query has more than (\d+) parameters\.", r"Die Anfrage hat mehr als \1 Parameter."),
        (r"The body is not text in UTF-8\.", "Der Inhalt ist kein Text in UTF-8."),
        (r"The body must be a JSON object\.", "Der Inhalt muss ein JSON-Objekt sein."),
    )
)


def of_field(english: str) -> str | None:
    """Return what is said of a field in German, with its numbers; None where only the code's general text is known."""
    for pattern, german in _FIELDS:
        found = pattern.fullmatch(english)
        if found is not None:
            return found.expand(german)
    return None


def of_invalid(english: str, errors: list[Any]) -> str | None:
    """Return the sentence of a refused request in German: its first wrong field, or what is wrong as a whole.

    Args:
        english: the sentence as the room or the door said it.
        errors: its entries, in German already.
    """
    if not errors:
        return of_field(english)
    first = errors[0]
    return f"{first.get('pointer') or 'Die Anfrage als Ganzes'}: {first.get('detail')}"


def in_german(value: Any, sentence: Sentence) -> Any:
    """Return an answer with the `detail` of each line and action, and reasons that are ours, in German.

    Args:
        value: any part of the answer; it is not changed.
        sentence: makes the German text of a code and its English sentence.
    """
    if isinstance(value, list):
        return [in_german(inner, sentence) for inner in value]
    if not isinstance(value, dict):
        return value
    made = {
        name: in_german(inner, sentence) if isinstance(inner, list | dict) else inner for name, inner in value.items()
    }
    code = value.get("code") or value.get("reason")
    if isinstance(value.get("detail"), str) and isinstance(code, str):
        made["detail"] = sentence(code, value["detail"])
    if value.get("action") in _REASONED and isinstance(made.get("data"), dict) and "reason" in made["data"]:
        made["data"] = {**made["data"], "reason": sentence("", str(made["data"]["reason"]))}
    return made
