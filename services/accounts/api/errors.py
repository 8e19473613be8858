"""The error codes of accounts: what each one means and what to do about it. No texts for single cases belong here."""

from typing import Final

ERRORS: Final[dict[str, str]] = {
    "accounts.login_needed": "The request needs a login and is closed to API tokens; log in and send the access token.",
    "accounts.confirmation_needed": "The login is older than ten minutes; send the password, and the code of a second "
    "factor, to POST /v1/sessions/current/confirmations and repeat the request with the token that it returns.",
    "accounts.login_failed": "The e-mail address, the password or the second factor is wrong; check them and try "
    "again.",
    "accounts.otp_needed": "The account has a second factor; send the code of the authenticator app as `otp`.",
    "accounts.not_activated": "The registration of this address has not been activated yet; open the link in the "
    "e-mail, or ask for it again with `/registrations/resends`.",
    "accounts.password_needed": "The address was registered more than once, so no earlier password counts; send the "
    "one you want as `password` with the token.",
    "accounts.locked": "The vendor locked the account, or, for a device, every company of the account did; ask them "
    "to unlock it.",
    "accounts.too_many_attempts": "Too many attempts failed; wait the number of seconds in Retry-After before the "
    "next one.",
    "accounts.refresh_invalid": "The refresh token is unknown, expired or was withdrawn; log in again.",
    "accounts.refresh_reused": "The refresh token was used before, so its session was ended; log in again.",
    "accounts.session_not_found": "There is no such session here; list the sessions to see their ids.",
    "accounts.session_ended": "The session of this token was ended; log in again.",
    "accounts.link_invalid": "The link is unknown, already used or expired; ask for a new one.",
    "accounts.password_too_common": "The password is one of those that attackers try first; choose a longer or rarer "
    "one.",
    "accounts.password_wrong": "The password given for confirmation is wrong; enter your present password.",
    "accounts.terms_not_accepted": "The terms of use were not accepted; send `accept_terms` as true.",
    "accounts.user_not_found": "There is no such user here; list the users to see their ids.",
    "accounts.company_needed": "The request needs a company; create one, accept an invitation or switch to one.",
    "accounts.company_not_found": "There is no such company among yours; refresh the session to see your companies.",
    "accounts.already_member": "The user already belongs to this company; change the role instead.",
    "accounts.staff_in_company": "The vendor's staff belong to no company; use an account without the staff mark.",
    "accounts.user_in_company": "The user belongs to a company, and staff belong to none; take the user out of it "
    "first, or use another account.",
    "accounts.invitation_not_found": "There is no such open invitation to your address; list them to see their ids.",
    "accounts.invitation_of_another": "The invitation went to another address; accept it with the account of that "
    "address.",
    "accounts.last_admin": "The company would be left without an administrator; give another user the role first.",
    "accounts.admin_needed": "Only administrators of the company may do this; ask one of them.",
    "accounts.staff_needed": "Only staff of the vendor may do this; ask them to do it.",
    "accounts.staff_otp_needed": "Staff need a second factor here; switch it on under `/me/otp`, then go on.",
    "accounts.otp_demanded": "The company demands a second factor of its users; switch it on under `/me/otp`, then "
    "refresh the session; API tokens work again after that.",
    "accounts.right_needed": "The account lacks the account right named in `right`; ask the vendor for it.",
    "accounts.scope_needed": "The token lacks the scope named in `scope`; use a token that has it, or log in "
    "where a person is needed.",
    "accounts.token_bound": "The token is bound to one project, and this goes beyond it; use one that is not bound.",
    "accounts.staff_self": "Staff may not change their own staff mark or lock; ask another staff member.",
    "accounts.token_not_found": "There is no such API token here; list the tokens to see their ids.",
    "accounts.scope_refused": "The account may not give this scope to a token; only staff have `events`: leave it out.",
    "accounts.expiry_past": "The expiry time is in the past; give a later one.",
    "accounts.expiry_too_late": "An API token is valid for a year at most; give an earlier expiry time.",
    "accounts.too_many_tokens": "A person has at most 50 API tokens; delete one that is no longer needed.",
    "accounts.too_many_service_tokens": "A service account has at most 50 tokens; delete one that is no longer needed.",
    "accounts.service_account_not_found": "There is no such service account; list them to see their ids.",
    "accounts.too_many_companies": "Somebody who is in 20 companies cannot create another one; leave one, or ask the "
    "vendor.",
    "accounts.otp_enabled": "The second factor is already on; switch it off before you start again.",
    "accounts.otp_not_started": "No second factor is being set up; ask for a secret first.",
    "accounts.otp_wrong": "The code is wrong or was used before; wait for the next one and try again.",
    "accounts.otp_not_enabled": "The account has no second factor; there is nothing to switch off.",
    "accounts.email_unchanged": "The new e-mail address is the same as the present one; give another.",
    "accounts.email_taken": "The address now belongs to another account; log in to that one, or take another address.",
    "accounts.too_many_email_changes": "The account asked for another address too often; wait the number of seconds "
    "in Retry-After, or confirm the last one with the e-mail sent to it.",
    "accounts.address_mailed_enough": "The address was sent `limit` e-mails of this kind within a day, whoever asked "
    "for them; look for them there, wait the number of seconds in Retry-After, or give another address.",
    "accounts.import_login_failed": "The e-mail address, the password or the second factor of the other company's "
    "administrator is wrong; check them and try again.",
    "accounts.import_otp_needed": "The other company's administrator has a second factor; send its code as `otp`.",
    "accounts.import_admin_needed": "The login is right, but its user is not an administrator of another company; "
    "use an administrator's.",
    "accounts.import_ambiguous": "The user is an administrator of several companies; name one of `companies` as "
    "`company_id`.",
    "accounts.import_own_company": "The login belongs to an administrator of your own company; use one from the "
    "company to import.",
    "accounts.company_absorbed": "The company was imported by another one and is gone; log in again to continue there.",
    "accounts.job_not_found": "Your company has no such job; use the address that was given when it started.",
    "accounts.erasure_refused": "You are the last administrator of a company that still has users; hand it over first.",
}
