"""The texts of all mails by language. No names and nothing a stranger typed: the form can be filled with any address.

A mail has a subject, an opening paragraph, for a link its path and label, and a closing paragraph.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Text:
    """One mail in one language; `path` is the page of the portal that the link opens, None without a link."""

    subject: str
    opening: str
    closing: str
    path: str | None = None
    label: str = ""


GREETING: Final = {"en": "Hello,", "de": "Guten Tag,"}
SIGNATURE: Final = {"en": "Tessera license portal", "de": "Tessera-Lizenzportal"}

TEXTS: Final[dict[str, dict[str, Text]]] = {
    "activation": {
        "en": Text(
            "Activate your account",
            "an account of the license portal was requested with this e-mail address. Open the link and confirm there "
            "to activate it. The link works once, within 48 hours.",
            "If you did not ask for an account, ignore this mail: without the link nothing happens.",
            "/activate",
            "Activate the account",
        ),
        "de": Text(
            "Aktivieren Sie Ihr Konto",
            "mit dieser E-Mail-Adresse wurde ein Konto im Lizenzportal angefordert. Öffnen Sie den Link und bestätigen "
            "Sie dort, um es zu aktivieren. Der Link gilt einmal und 48 Stunden lang.",
            "Haben Sie kein Konto angefordert? Dann ignorieren Sie diese E-Mail: Ohne den Link geschieht nichts.",
            "/activate",
            "Konto aktivieren",
        ),
    },
    "already_registered": {
        "en": Text(
            "You have an account already",
            "somebody registered with this e-mail address, which has an account already. Nothing was changed. "
            "If you forgot the password, ask for a new one on the login page.",
            "If it was not you, ignore this mail.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Sie haben schon ein Konto",
            "mit dieser E-Mail-Adresse wurde eine Registrierung versucht; es gibt dazu schon ein Konto. Es wurde "
            "nichts geändert. Falls Sie das Passwort vergessen haben, fordern Sie auf der Anmeldeseite ein neues an.",
            "Waren Sie es nicht? Dann ignorieren Sie diese E-Mail.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "password_reset": {
        "en": Text(
            "Set a new password",
            "a new password was requested for your account. Open the link to set it. The link works once, "
            "within an hour.",
            "If it was not you, ignore this mail: your password stays as it is.",
            "/reset",
            "Set a new password",
        ),
        "de": Text(
            "Neues Passwort setzen",
            "für Ihr Konto wurde ein neues Passwort angefordert. Öffnen Sie den Link, um es zu setzen. Der Link gilt "
            "einmal und eine Stunde lang.",
            "Waren Sie es nicht? Dann ignorieren Sie diese E-Mail: Ihr Passwort bleibt, wie es ist.",
            "/reset",
            "Neues Passwort setzen",
        ),
    },
    "password_changed": {
        "en": Text(
            "Your password was changed",
            "the password of your account was changed, and all other sessions were ended.",
            "If it was not you, ask for a new password on the login page at once.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ihr Passwort wurde geändert",
            "das Passwort Ihres Kontos wurde geändert, und alle anderen Sitzungen wurden beendet.",
            "Waren Sie es nicht? Dann fordern Sie auf der Anmeldeseite sofort ein neues Passwort an.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "service_account_changed": {
        "en": Text(
            "A service account was changed",
            "from your account a service account or one of its tokens was made or ended. With such a token a program "
            "acts for the vendor.",
            "If it was not you, set a new password at once and ask a colleague to look at the service accounts.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ein Dienstkonto wurde geändert",
            "von Ihrem Konto aus wurde ein Dienstkonto oder eines seiner Tokens angelegt oder beendet. Mit einem "
            "solchen Token handelt ein Programm für den Hersteller.",
            "Waren Sie es nicht? Dann setzen Sie sofort ein neues Passwort und bitten Sie eine Kollegin oder einen "
            "Kollegen, sich die Dienstkonten anzusehen.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "api_token_created": {
        "en": Text(
            "A new API token was made",
            "an API token was made for your account. With it a program can act for you until it expires or is deleted.",
            "If it was not you, ask for a new password on the login page at once: that ends all API tokens.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ein neues API-Token wurde erzeugt",
            "für Ihr Konto wurde ein API-Token erzeugt. Damit kann ein Programm für Sie handeln, bis es abläuft oder "
            "gelöscht wird.",
            "Waren Sie es nicht? Dann fordern Sie auf der Anmeldeseite sofort ein neues Passwort an: Damit enden alle "
            "API-Tokens.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "session_ended": {
        "en": Text(
            "One of your sessions was ended",
            "an administrator of your company ended a session of your account: that login is not good any more.",
            "Log in again to go on; if you do not know why it was ended, ask an administrator of your company.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Eine Ihrer Sitzungen wurde beendet",
            "ein Administrator Ihrer Firma hat eine Sitzung Ihres Kontos beendet: Diese Anmeldung gilt nicht mehr.",
            "Melden Sie sich neu an, um weiterzuarbeiten; fragen Sie einen Administrator Ihrer Firma nach dem Grund.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "api_token_deleted": {
        "en": Text(
            "An API token of yours was withdrawn",
            "an administrator of your company withdrew an API token of your account: what uses it is refused.",
            "If you do not know why, ask an administrator of your company before you make another one.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ein API-Token von Ihnen wurde zurückgezogen",
            "ein Administrator Ihrer Firma hat ein API-Token Ihres Kontos zurückgezogen: Was es benutzt, wird "
            "abgewiesen.",
            "Kennen Sie den Grund nicht? Dann fragen Sie einen Administrator Ihrer Firma, bevor Sie ein neues machen.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "second_factor_on": {
        "en": Text(
            "The second factor was switched on",
            "the second factor of your account was switched on. Logins need a code of your app from now on.",
            "If it was not you, ask the vendor's support at once.",
        ),
        "de": Text(
            "Der zweite Faktor wurde eingeschaltet",
            "der zweite Faktor Ihres Kontos wurde eingeschaltet. Anmeldungen brauchen von nun an einen Code Ihrer App.",
            "Waren Sie es nicht? Dann wenden Sie sich sofort an den Support des Herstellers.",
        ),
    },
    "second_factor_off": {
        "en": Text(
            "The second factor was switched off",
            "the second factor of your account was switched off. The password alone is enough to log in.",
            "If it was not you, ask for a new password on the login page at once.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Der zweite Faktor wurde ausgeschaltet",
            "der zweite Faktor Ihres Kontos wurde ausgeschaltet. Das Passwort allein genügt zur Anmeldung.",
            "Waren Sie es nicht? Dann fordern Sie auf der Anmeldeseite sofort ein neues Passwort an.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "otp_demand_changed": {
        "en": Text(
            "Whether your company demands a second factor was changed",
            "an administrator or the vendor changed whether users of your company need a second factor. Where "
            "one is demanded, users without one switch it on at their next login.",
            "If you did not expect this, look into the company's history, and ask the other administrators.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ob Ihre Firma einen zweiten Faktor verlangt, wurde geändert",
            "ein Administrator oder der Hersteller hat geändert, ob Benutzer Ihrer Firma einen zweiten "
            "Faktor brauchen. Wo einer verlangt wird, schalten Benutzer ohne ihn ihn bei der nächsten Anmeldung ein.",
            "Haben Sie das nicht erwartet? Dann sehen Sie im Verlauf der Firma nach, und fragen Sie die anderen "
            "Administratoren.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "rights_changed": {
        "en": Text(
            "What you may do was changed",
            "your role in a company, or a right or lock of your account, was changed in the license portal.",
            "If you did not expect this, ask an administrator of your company or the vendor's support.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ihre Rechte wurden geändert",
            "Ihre Rolle in einer Firma, ein Recht oder eine Sperre Ihres Kontos wurde im Lizenzportal geändert.",
            "Haben Sie das nicht erwartet? Dann fragen Sie einen Administrator Ihrer Firma oder den Support des "
            "Herstellers.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "email_change": {
        "en": Text(
            "Confirm your new e-mail address",
            "this is to become the address of an account of the license portal. Open the link and confirm there with "
            "the login of that account. The link works once, within 48 hours, and ends when the password is changed.",
            "If you did not ask for this, ignore this mail.",
            "/email-change",
            "Confirm the address",
        ),
        "de": Text(
            "Bestätigen Sie Ihre neue E-Mail-Adresse",
            "dies soll die Adresse eines Kontos im Lizenzportal werden. Öffnen Sie den Link und bestätigen Sie dort "
            "mit der Anmeldung dieses Kontos. Der Link gilt einmal und 48 Stunden lang, und nicht mehr, sobald das "
            "Passwort geändert wird.",
            "Haben Sie das nicht veranlasst? Dann ignorieren Sie diese E-Mail.",
            "/email-change",
            "Adresse bestätigen",
        ),
    },
    "email_change_notice": {
        "en": Text(
            "A new e-mail address was asked for",
            "with your password a change of the e-mail address of your account was asked for. It takes effect once the "
            "new address is confirmed. If it was not you, open the link: it stops the change, or undoes it within 7 "
            "days, ends all logins and API tokens, and mails you a link to set a new password.",
            "If it was you, ignore this mail.",
            "/email-undo",
            "It was not me",
        ),
        "de": Text(
            "Eine neue E-Mail-Adresse wurde angefordert",
            "mit Ihrem Passwort wurde für Ihr Konto eine andere E-Mail-Adresse angefordert. Sie gilt, sobald die neue "
            "Adresse bestätigt ist. Waren Sie es nicht, dann öffnen Sie den Link: Er hält die Änderung auf oder macht "
            "sie 7 Tage lang rückgängig, beendet alle Anmeldungen und API-Tokens und schickt Ihnen einen Link für ein "
            "neues Passwort.",
            "Waren Sie es? Dann ignorieren Sie diese E-Mail.",
            "/email-undo",
            "Ich war es nicht",
        ),
    },
    "email_changed": {
        "en": Text(
            "The e-mail address of your account was changed",
            "your account of the license portal has another e-mail address from now on. If it was not you, open the "
            "link within 7 days: it gives the account this address back, ends all logins and API tokens, and mails you "
            "a link to set a new password.",
            "If it was you, ignore this mail.",
            "/email-undo",
            "It was not me",
        ),
        "de": Text(
            "Die E-Mail-Adresse Ihres Kontos wurde geändert",
            "Ihr Konto im Lizenzportal hat ab jetzt eine andere E-Mail-Adresse. Waren Sie es nicht, dann öffnen Sie "
            "innerhalb von 7 Tagen den Link: Er gibt dem Konto diese Adresse zurück, beendet alle Anmeldungen und "
            "API-Tokens und schickt Ihnen einen Link für ein neues Passwort.",
            "Waren Sie es? Dann ignorieren Sie diese E-Mail.",
            "/email-undo",
            "Ich war es nicht",
        ),
    },
    "email_undone": {
        "en": Text(
            "Your account has this e-mail address again",
            "the change of the e-mail address of your account was stopped or undone. All logins and API tokens were "
            "ended, and the password of before counts no more: open the link to set a new one, within an hour. Later "
            "on, ask for a new password on the login page.",
            "Look at your API tokens and at the second factor after the next login.",
            "/reset",
            "Set a new password",
        ),
        "de": Text(
            "Ihr Konto hat wieder diese E-Mail-Adresse",
            "die Änderung der E-Mail-Adresse Ihres Kontos wurde aufgehalten oder rückgängig gemacht. Alle Anmeldungen "
            "und API-Tokens wurden beendet, und das bisherige Passwort gilt nicht mehr: Öffnen Sie innerhalb einer "
            "Stunde den Link, um ein neues zu setzen. Später fordern Sie auf der Anmeldeseite ein neues Passwort an.",
            "Sehen Sie nach der nächsten Anmeldung nach Ihren API-Tokens und dem zweiten Faktor.",
            "/reset",
            "Neues Passwort setzen",
        ),
    },
    "invitation": {
        "en": Text(
            "You are invited to a company",
            "a user of a company in the license portal invites you to work in it. If you have no account yet, register "
            "with this address first. Then open the link and accept there; the link works once, within 14 days. You "
            "also find the invitation in your account after every login, and can decline it there.",
            "If you do not want to, ignore this mail: nobody becomes a user of a company without saying yes.",
            "/invitation",
            "See the invitation",
        ),
        "de": Text(
            "Sie sind in eine Firma eingeladen",
            "ein Benutzer einer Firma im Lizenzportal lädt Sie ein, dort mitzuarbeiten. Haben Sie noch kein Konto, "
            "dann registrieren Sie sich zuerst mit dieser Adresse. Öffnen Sie dann den Link und nehmen Sie dort an; er "
            "gilt einmal und 14 Tage lang. Sie finden die Einladung auch nach jeder Anmeldung in Ihrem Konto und "
            "können sie dort ablehnen.",
            "Möchten Sie das nicht? Dann ignorieren Sie diese E-Mail: Niemand gehört zu einer Firma, ohne Ja zu sagen.",
            "/invitation",
            "Einladung ansehen",
        ),
    },
    "device_notice": {
        "en": Text(
            "Something was done with a device of yours",
            "another company added a device that your company has or paid licenses for, or did something with its "
            "licenses, files or certificates. The history of your company tells which device and what it was. There is "
            "at most one such mail in an hour.",
            "If you know nothing of it, look at the device in the portal and ask the vendor's support. Your company's "
            "administrators asked for these mails and can end them in the company's settings.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Mit einem Ihrer Geräte wurde etwas gemacht",
            "eine andere Firma hat ein Gerät hinzugefügt, das Ihre Firma hat oder für das sie Lizenzen bezahlt hat, "
            "oder hat etwas mit seinen Lizenzen, Dateien oder Zertifikaten gemacht. Der Verlauf Ihrer Firma sagt, "
            "welches Gerät und was es war. Es gibt höchstens eine solche E-Mail in der Stunde.",
            "Wissen Sie nichts davon? Dann sehen Sie im Portal nach dem Gerät und fragen Sie den Support des "
            "Herstellers. Die Administratoren Ihrer Firma haben diese E-Mails bestellt und können sie in den "
            "Einstellungen der Firma abbestellen.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "company_imported": {
        "en": Text(
            "Your company was taken into another one",
            "with the login of one of its administrators your company in the license portal was taken into another "
            "company, with all users, projects, licenses and devices. You work there as a member after the next login.",
            "If you know nothing of this, change your password and ask the vendor's support at once.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ihre Firma wurde in eine andere übernommen",
            "mit der Anmeldung eines Administrators wurde Ihre Firma im Lizenzportal in eine andere Firma übernommen, "
            "mit allen Benutzern, Projekten, Lizenzen und Geräten. Sie arbeiten dort nach der nächsten Anmeldung als "
            "Mitglied.",
            "Wissen Sie nichts davon? Dann ändern Sie Ihr Passwort und wenden Sie sich sofort an den Support des "
            "Herstellers.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
}
"""Template -> language -> text."""
