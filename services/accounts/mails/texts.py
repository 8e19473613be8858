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
            "Somebody requested an account on the license portal with this e-mail address. Open the link and confirm "
            "there to activate it. The link works once, within 48 hours.",
            "If you did not ask for an account, ignore this e-mail: nothing happens without the link.",
            "/activate",
            "Activate the account",
        ),
        "de": Text(
            "Aktivieren Sie Ihr Konto",
            "mit dieser E-Mail-Adresse wurde ein Konto im Lizenzportal angefordert. Öffnen Sie den Link und "
            "bestätigen Sie dort, um es zu aktivieren. Der Link gilt einmal und 48 Stunden lang.",
            "Haben Sie kein Konto angefordert? Dann ignorieren Sie diese E-Mail: Ohne den Link geschieht nichts.",
            "/activate",
            "Konto aktivieren",
        ),
    },
    "already_registered": {
        "en": Text(
            "You already have an account",
            "Somebody tried to register with this e-mail address, which already has an account. Nothing was changed. "
            "If you forgot your password, ask for a new one on the login page.",
            "If it was not you, ignore this e-mail.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Sie haben schon ein Konto",
            "jemand wollte sich mit dieser E-Mail-Adresse registrieren; es gibt dazu aber schon ein Konto. Es wurde "
            "nichts geändert. Falls Sie das Passwort vergessen haben, fordern Sie auf der Anmeldeseite ein neues an.",
            "Waren Sie es nicht? Dann ignorieren Sie diese E-Mail.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "password_reset": {
        "en": Text(
            "Set a new password",
            "Somebody asked for a new password for your account. Open the link to set it. The link works once, "
            "within an hour.",
            "If it was not you, ignore this e-mail: your password stays as it is.",
            "/reset",
            "Set a new password",
        ),
        "de": Text(
            "Neues Passwort festlegen",
            "für Ihr Konto wurde ein neues Passwort angefordert. Öffnen Sie den Link, um es festzulegen. Der Link "
            "gilt einmal und eine Stunde lang.",
            "Waren Sie es nicht? Dann ignorieren Sie diese E-Mail: Ihr Passwort bleibt, wie es ist.",
            "/reset",
            "Neues Passwort festlegen",
        ),
    },
    "password_changed": {
        "en": Text(
            "Your password was changed",
            "The password of your account was changed, and all other sessions were ended.",
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
            "A service account or one of its tokens was created or ended from your account. With such a token a "
            "program acts for the vendor.",
            "If it was not you, set a new password at once and ask a colleague to look at the service accounts.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ein Dienstkonto wurde geändert",
            "von Ihrem Konto aus wurde ein Dienstkonto oder eines seiner Tokens angelegt oder beendet. Mit einem "
            "solchen Token handelt ein Programm für den Hersteller.",
            "Waren Sie es nicht? Dann legen Sie sofort ein neues Passwort fest, und bitten Sie eine Kollegin oder "
            "einen Kollegen, sich die Dienstkonten anzusehen.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "api_token_created": {
        "en": Text(
            "A new API token was created",
            "An API token was created for your account. With it, a program can act for you until the token expires "
            "or is deleted.",
            "If it was not you, ask for a new password on the login page at once: that ends all API tokens.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ein neues API-Token wurde angelegt",
            "für Ihr Konto wurde ein API-Token angelegt. Damit kann ein Programm für Sie handeln, bis das Token "
            "abläuft oder gelöscht wird.",
            "Waren Sie es nicht? Dann fordern Sie auf der Anmeldeseite sofort ein neues Passwort an: Damit werden "
            "alle API-Tokens ungültig.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "session_ended": {
        "en": Text(
            "One of your sessions was ended",
            "An administrator of your company ended a session of your account: that login is no longer valid.",
            "Log in again to go on. If you do not know why it was ended, ask an administrator of your company.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Eine Ihrer Sitzungen wurde beendet",
            "ein Administrator Ihrer Firma hat eine Sitzung Ihres Kontos beendet: Diese Anmeldung gilt nicht mehr.",
            "Melden Sie sich neu an, um weiterzuarbeiten. Wenn Sie den Grund nicht kennen, fragen Sie einen "
            "Administrator Ihrer Firma.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "api_token_deleted": {
        "en": Text(
            "One of your API tokens was withdrawn",
            "An administrator of your company withdrew an API token of your account: any program that uses it is "
            "refused.",
            "If you do not know why, ask an administrator of your company before you create another one.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Eines Ihrer API-Tokens wurde zurückgezogen",
            "ein Administrator Ihrer Firma hat ein API-Token Ihres Kontos zurückgezogen: Programme, die es "
            "verwenden, werden abgewiesen.",
            "Kennen Sie den Grund nicht? Dann fragen Sie einen Administrator Ihrer Firma, bevor Sie ein neues anlegen.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "second_factor_on": {
        "en": Text(
            "The second factor was switched on",
            "The second factor of your account was switched on. From now on, logging in needs a code from your app.",
            "If it was not you, contact the vendor's support at once.",
        ),
        "de": Text(
            "Der zweite Faktor wurde eingeschaltet",
            "der zweite Faktor Ihres Kontos wurde eingeschaltet. Von nun an brauchen Sie zur Anmeldung einen Code "
            "aus Ihrer App.",
            "Waren Sie es nicht? Dann wenden Sie sich sofort an den Support des Herstellers.",
        ),
    },
    "second_factor_off": {
        "en": Text(
            "The second factor was switched off",
            "The second factor of your account was switched off. The password alone is now enough to log in.",
            "If it was not you, ask for a new password on the login page at once.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Der zweite Faktor wurde ausgeschaltet",
            "der zweite Faktor Ihres Kontos wurde ausgeschaltet. Zur Anmeldung genügt jetzt das Passwort.",
            "Waren Sie es nicht? Dann fordern Sie auf der Anmeldeseite sofort ein neues Passwort an.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "otp_demand_changed": {
        "en": Text(
            "Your company's rule about the second factor was changed",
            "An administrator or the vendor changed whether users of your company need a second factor. Where one is "
            "demanded, users without one must switch it on at their next login.",
            "If you did not expect this, look at the company's history, and ask the other administrators.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Die Vorgabe Ihrer Firma zum zweiten Faktor wurde geändert",
            "ein Administrator oder der Hersteller hat geändert, ob Benutzer Ihrer Firma einen zweiten Faktor "
            "brauchen. Wenn einer verlangt wird, müssen Benutzer, die noch keinen haben, ihn bei der nächsten "
            "Anmeldung einschalten.",
            "Haben Sie das nicht erwartet? Dann sehen Sie im Verlauf der Firma nach, und fragen Sie die anderen "
            "Administratoren.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "rights_changed": {
        "en": Text(
            "Your rights were changed",
            "Your role in a company, or a right or lock of your account, was changed on the license portal.",
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
            "This is to become the address of an account on the license portal. Open the link and confirm there with "
            "the login of that account. The link works once, within 48 hours, and ends when the password is changed.",
            "If you did not ask for this, ignore this e-mail.",
            "/email-change",
            "Confirm the address",
        ),
        "de": Text(
            "Bestätigen Sie Ihre neue E-Mail-Adresse",
            "dies soll die neue Adresse eines Kontos im Lizenzportal werden. Öffnen Sie den Link und bestätigen Sie "
            "dort mit den Anmeldedaten dieses Kontos. Der Link gilt einmal und 48 Stunden lang; er verfällt, sobald "
            "das Passwort geändert wird.",
            "Haben Sie das nicht veranlasst? Dann ignorieren Sie diese E-Mail.",
            "/email-change",
            "Adresse bestätigen",
        ),
    },
    "email_change_notice": {
        "en": Text(
            "A new e-mail address was requested",
            "Somebody used your password to request another e-mail address for your account. The change takes effect "
            "once the new address is confirmed. If it was not you, open the link: it stops the change, or undoes it "
            "within 7 days, ends all logins and API tokens, and mails you a link to set a new password.",
            "If it was you, ignore this e-mail.",
            "/email-undo",
            "It was not me",
        ),
        "de": Text(
            "Eine neue E-Mail-Adresse wurde beantragt",
            "jemand hat mit Ihrem Passwort für Ihr Konto eine andere E-Mail-Adresse beantragt. Sie gilt, sobald die "
            "neue Adresse bestätigt ist. Wenn Sie es nicht waren, öffnen Sie den Link: Er stoppt die Änderung oder "
            "macht sie innerhalb von 7 Tagen rückgängig, beendet alle Anmeldungen und API-Tokens und schickt Ihnen "
            "einen Link für ein neues Passwort.",
            "Waren Sie es? Dann ignorieren Sie diese E-Mail.",
            "/email-undo",
            "Ich war es nicht",
        ),
    },
    "email_changed": {
        "en": Text(
            "The e-mail address of your account was changed",
            "Your account on the license portal has another e-mail address from now on. If it was not you, open the "
            "link within 7 days: it gives this address back to the account, ends all logins and API tokens, and "
            "mails you a link to set a new password.",
            "If it was you, ignore this e-mail.",
            "/email-undo",
            "It was not me",
        ),
        "de": Text(
            "Die E-Mail-Adresse Ihres Kontos wurde geändert",
            "Ihr Konto im Lizenzportal hat ab jetzt eine andere E-Mail-Adresse. Wenn Sie das nicht waren, öffnen Sie "
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
            "The change of the e-mail address of your account was stopped or undone. All logins and API tokens were "
            "ended, and the old password is no longer valid: open the link within an hour to set a new one. Once "
            "the hour is over, ask for a new password on the login page.",
            "After the next login, check your API tokens and the second factor.",
            "/reset",
            "Set a new password",
        ),
        "de": Text(
            "Ihr Konto hat wieder diese E-Mail-Adresse",
            "die Änderung der E-Mail-Adresse Ihres Kontos wurde gestoppt oder rückgängig gemacht. Alle Anmeldungen "
            "und API-Tokens wurden beendet, und das bisherige Passwort gilt nicht mehr: Öffnen Sie innerhalb einer "
            "Stunde den Link, um ein neues festzulegen. Ist die Stunde vorbei, fordern Sie auf der Anmeldeseite ein "
            "neues an.",
            "Prüfen Sie nach der nächsten Anmeldung Ihre API-Tokens und den zweiten Faktor.",
            "/reset",
            "Neues Passwort festlegen",
        ),
    },
    "invitation": {
        "en": Text(
            "You are invited to join a company",
            "A user of a company on the license portal invites you to work in it. If you have no account yet, "
            "register with this address first. Then open the link and accept there; the link works once, within 14 "
            "days. You will also find the invitation in your account after every login, and can decline it there.",
            "If you do not want to, ignore this e-mail: nobody becomes a user of a company without saying yes.",
            "/invitation",
            "See the invitation",
        ),
        "de": Text(
            "Einladung in eine Firma",
            "ein Benutzer einer Firma im Lizenzportal lädt Sie ein, dort mitzuarbeiten. Wenn Sie noch kein Konto "
            "haben, registrieren Sie sich zuerst mit dieser Adresse. Öffnen Sie dann den Link und nehmen Sie dort "
            "an; er gilt einmal und 14 Tage lang. Sie finden die Einladung auch nach jeder Anmeldung in Ihrem Konto "
            "und können sie dort ablehnen.",
            "Möchten Sie das nicht? Dann ignorieren Sie diese E-Mail: Niemand wird Benutzer einer Firma, ohne "
            "zuzustimmen.",
            "/invitation",
            "Einladung ansehen",
        ),
    },
    "device_notice": {
        "en": Text(
            "Something was done with one of your devices",
            "Another company added a device that your company has or paid licenses for, or did something with its "
            "licenses, files or certificates. Your company's history says which device it was and what was done. At "
            "most one such e-mail is sent per hour.",
            "If you know nothing about it, look at the device in the portal and ask the vendor's support. Your "
            "company's administrators asked for these e-mails and can end them in the company's settings.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Mit einem Ihrer Geräte wurde etwas gemacht",
            "eine andere Firma hat ein Gerät hinzugefügt, das Ihre Firma hat oder für das sie Lizenzen bezahlt hat, "
            "oder hat etwas mit seinen Lizenzen, Dateien oder Zertifikaten gemacht. Der Verlauf Ihrer Firma zeigt, "
            "welches Gerät es war und was gemacht wurde. Solche E-Mails werden höchstens stündlich "
            "verschickt.",
            "Wissen Sie nichts davon? Dann sehen Sie sich das Gerät im Portal an, und fragen Sie den Support des "
            "Herstellers. Die Administratoren Ihrer Firma haben diese E-Mails bestellt und können sie in den "
            "Einstellungen der Firma abbestellen.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
    "company_imported": {
        "en": Text(
            "Your company was imported into another one",
            "Your company on the license portal was imported into another company, with the login of one of its "
            "administrators and with all its users, projects, licenses and devices. From your next login on, you "
            "work there as a member.",
            "If you know nothing about this, change your password and ask the vendor's support at once.",
            "/login",
            "To the login page",
        ),
        "de": Text(
            "Ihre Firma wurde in eine andere übernommen",
            "Ihre Firma im Lizenzportal wurde mit den Anmeldedaten eines ihrer Administratoren in eine andere Firma "
            "übernommen, mit allen Benutzern, Projekten, Lizenzen und Geräten. Ab der nächsten Anmeldung arbeiten "
            "Sie dort als Mitglied.",
            "Wissen Sie nichts davon? Dann ändern Sie Ihr Passwort und wenden Sie sich sofort an den Support des "
            "Herstellers.",
            "/login",
            "Zur Anmeldeseite",
        ),
    },
}
"""Template -> language -> text."""
