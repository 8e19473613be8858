"""Every text of the portal, in English and German. A key that one language lacks fails a test."""

from typing import Final

TEXTS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "home.title": "Tessera",
        "home.text": "Links in e-mails from Tessera open here. Everything else is done through the gateway.",
        "activate.title": "Activate your account",
        "activate.text": "One click and you can log in.",
        "activate.button": "Activate",
        "activate.done": "Your account is active. You can log in now.",
        "email_change.title": "Confirm your new e-mail address",
        "activate_again.title": "Choose your password",
        "activate_again.text": "This address was registered more than once. So that nobody else's password "
        "counts, choose the password of your account now: 8 to 128 characters.",
        "activate_again.button": "Activate with this password",
        "email_change.text": "Log in with your present address. From then on you log in with the new one.",
        "email_change.button": "Confirm the address",
        "email_change.done": "Your e-mail address has been changed. Log in with the new one.",
        "email_undo.title": "Undo the change of the e-mail address",
        "email_undo.text": "Your account gets this address back. All logins and API tokens end, and the password "
        "is no longer valid: you will get an e-mail with a link to set a new one.",
        "email_undo.button": "It was not me: undo it",
        "email_undo.done": "Your account has this address again. Set a new password with the link in the e-mail that "
        "is on its way.",
        "reset.title": "Set a new password",
        "reset.text": "Choose a password of 8 to 128 characters.",
        "reset.button": "Set the password",
        "reset.done": "Your password has been changed. Log in with the new one.",
        "invitation.title": "Accept an invitation",
        "invitation.text": "Log in with the invited address to join the company. Without an account, register first.",
        "invitation.button": "Log in and accept",
        "invitation.done": "You are now a member of the company.",
        "field.password": "Password",
        "field.new_password": "New password",
        "field.otp": "Code of the second factor, if you have one",
        "field.email": "E-mail",
        "failed.title": "That did not work",
        "failed.otp_demanded": "E-mail and password are right, but a second factor is demanded of you and you have "
        "none yet. Switch it on first, in the program with which you use Tessera or with POST /v1/me/otp and POST "
        "/v1/me/otp/confirmations at the gateway. Then open the link in the e-mail again: it is not used up.",
        "failed.unreachable": "Tessera does not answer at the moment. It is safe to send the form again in a minute.",
        "failed.internal": "Something went wrong on our side. It is safe to try again.",
        "failed.no_token": "The link is not complete: copy all of it from the e-mail.",
        "failed.form": "The form was not complete. Please open the link in the e-mail again.",
        "failed.method": "This page can only be opened, or its form sent. Please open the link in the e-mail again.",
        "failed.slow": "The form did not arrive completely in time. It is safe to send it again.",
        "failed.large": "The form is too large: at most 16 KiB are accepted. Please shorten what you entered.",
        "not_found.title": "There is no such page",
        "not_found.text": "Please check the address.",
    },
    "de": {
        "home.title": "Tessera",
        "home.text": "Links aus E-Mails von Tessera führen hierher. Alles andere geht über das Gateway.",
        "activate.title": "Konto aktivieren",
        "activate.text": "Ein Klick, und Sie können sich anmelden.",
        "activate.button": "Aktivieren",
        "activate.done": "Ihr Konto ist aktiv. Sie können sich jetzt anmelden.",
        "email_change.title": "Neue E-Mail-Adresse bestätigen",
        "activate_again.title": "Wählen Sie Ihr Passwort",
        "activate_again.text": "Diese Adresse wurde mehr als einmal registriert. Damit kein fremdes Passwort "
        "gilt, wählen Sie jetzt das Passwort Ihres Kontos: 8 bis 128 Zeichen.",
        "activate_again.button": "Mit diesem Passwort aktivieren",
        "email_change.text": "Melden Sie sich mit Ihrer bisherigen Adresse an. Danach melden Sie sich mit der "
        "neuen an.",
        "email_change.button": "Adresse bestätigen",
        "email_change.done": "Ihre E-Mail-Adresse wurde geändert. Melden Sie sich mit der neuen an.",
        "email_undo.title": "Änderung der E-Mail-Adresse rückgängig machen",
        "email_undo.text": "Ihr Konto erhält diese Adresse zurück. Alle Anmeldungen und API-Tokens enden, und das "
        "Passwort gilt nicht mehr: Sie erhalten eine E-Mail mit einem Link für ein neues.",
        "email_undo.button": "Ich war es nicht: rückgängig machen",
        "email_undo.done": "Ihr Konto hat wieder diese Adresse. Legen Sie mit dem Link in der E-Mail, die "
        "unterwegs ist, ein neues Passwort fest.",
        "reset.title": "Neues Passwort festlegen",
        "reset.text": "Wählen Sie ein Passwort mit 8 bis 128 Zeichen.",
        "reset.button": "Passwort festlegen",
        "reset.done": "Ihr Passwort wurde geändert. Melden Sie sich mit dem neuen an.",
        "invitation.title": "Einladung annehmen",
        "invitation.text": "Melden Sie sich mit der eingeladenen Adresse an, um der Firma beizutreten. Ohne Konto "
        "registrieren Sie sich zuerst.",
        "invitation.button": "Anmelden und annehmen",
        "invitation.done": "Sie gehören jetzt zur Firma.",
        "field.password": "Passwort",
        "field.new_password": "Neues Passwort",
        "field.otp": "Code des zweiten Faktors, falls Sie einen eingerichtet haben",
        "field.email": "E-Mail",
        "failed.title": "Das hat nicht geklappt",
        "failed.otp_demanded": "E-Mail und Passwort stimmen, aber von Ihnen wird ein zweiter Faktor verlangt, und Sie "
        "haben noch keinen. Schalten Sie ihn zuerst ein, und zwar in dem Programm, mit dem Sie Tessera nutzen, oder "
        "mit POST /v1/me/otp und POST /v1/me/otp/confirmations am Gateway. Öffnen Sie dann den Link in der E-Mail noch "
        "einmal: Er ist nicht verbraucht.",
        "failed.unreachable": "Tessera antwortet gerade nicht. Sie können das Formular in einer Minute gefahrlos noch "
        "einmal senden.",
        "failed.internal": "Bei uns ist etwas schiefgegangen. Sie können es gefahrlos noch einmal versuchen.",
        "failed.no_token": "Der Link ist unvollständig: Kopieren Sie ihn vollständig aus der E-Mail.",
        "failed.form": "Das Formular war unvollständig. Bitte öffnen Sie den Link in der E-Mail noch einmal.",
        "failed.method": "Diese Seite kann nur geöffnet oder ihr Formular abgesendet werden. Bitte öffnen Sie den Link "
        "in der E-Mail noch einmal.",
        "failed.slow": "Das Formular kam nicht rechtzeitig vollständig an. Sie können es gefahrlos noch einmal senden.",
        "failed.large": "Das Formular ist zu groß: Höchstens 16 KiB werden angenommen. Bitte kürzen Sie Ihre Eingaben.",
        "not_found.title": "Diese Seite gibt es nicht",
        "not_found.text": "Bitte prüfen Sie die Adresse.",
    },
}
