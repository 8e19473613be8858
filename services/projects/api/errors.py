"""Error codes of projects: what each means and what to do. Append-only."""

from typing import Final

ERRORS: Final[dict[str, str]] = {
    "projects.not_found": "There is no such project among yours; list the projects to see their ids.",
    "projects.token_bound": "The token is bound to one project and cannot create another; use one that is not bound.",
    "projects.name_taken": "Another project of the company has this name; choose another.",
    "projects.archived": "The project is archived and read-only; take it out of the archive first.",
    "projects.closed": "The project is being deleted; use another one.",
    "projects.not_empty": "The project is not empty; `blockers` says what is in the way and how many: move or end "
    "it first.",
    "projects.user_without_company": "No user with a company has this e-mail address; ask for the right address.",
    "projects.own_company": "The e-mail address belongs to your own company, which already has every right; give "
    "another one.",
    "projects.company_ambiguous": "The user belongs to several companies; name one of `companies` as `company_id`.",
    "projects.right_not_found": "This company has no right in the project; list the rights to see who has.",
}
