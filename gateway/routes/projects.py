"""Routes of projects and the rights of other companies in them (room projects)."""

from __future__ import annotations

from gateway import compose
from gateway.row import Right, Row
from services.chassis.fields import EmptyRequest
from services.licensing.api import DeleteProjectRequest
from services.projects import api

ROWS = (
    Row(
        "GET", "/v1/projects", "projects", "list_projects", Right.COMPANY,
        "List your own projects and those of others in which your company may work.",
        request=api.ListProjectsRequest, answer=api.ProjectList,
    ),
    Row(
        "POST", "/v1/projects", "projects", "create_project", Right.COMPANY,
        "Create a project; names are unique in the company.",
        request=api.CreateProjectRequest, answer=api.Project, status=201, location="/v1/projects/{id}",
    ),
    Row(
        "GET", "/v1/projects/{project_id}", "projects", "get_project", Right.COMPANY,
        "Show a project.",
        request=api.ProjectRequest, answer=api.Project, power=api.SEE,
    ),
    Row(
        "PATCH", "/v1/projects/{project_id}", "projects", "update_project", Right.COMPANY,
        "Rename, describe or archive a project; absent fields stay as they are. Only one without devices can be "
        "archived.",
        request=api.UpdateProjectRequest, answer=api.Project, power=api.MANAGE, compose=compose.update_project,
    ),
    Row(
        "DELETE", "/v1/projects/{project_id}", "licensing", "delete_project", Right.COMPANY,
        "Delete a project that has no devices, keys, rights or balance; the refusal says what is in the way.",
        request=DeleteProjectRequest, status=204, power=api.MANAGE,
    ),
    Row(
        "GET", "/v1/me/selected-project", "projects", "get_selected_project", Right.LOGIN,
        "Show the project chosen for all pages; null for all own projects.",
        request=EmptyRequest, answer=api.SelectedProject,
    ),
    Row(
        "PUT", "/v1/me/selected-project", "projects", "select_project", Right.COMPANY,
        "Choose the project for all pages, null for all own projects.",
        request=api.SelectProjectRequest, answer=api.SelectedProject, power=api.SEE,
    ),
    Row(
        "GET", "/v1/projects/{project_id}/rights", "projects", "list_rights", Right.COMPANY,
        "List the companies that may work in a project.",
        request=api.ListRightsRequest, answer=api.RightList, power=api.MANAGE,
    ),
    Row(
        "POST", "/v1/projects/{project_id}/rights", "projects", "add_right", Right.COMPANY,
        "Let the company of a user, given by e-mail address, work in a project.",
        request=api.AddRightRequest, answer=api.Right, status=201, power=api.MANAGE,
    ),
    Row(
        "DELETE", "/v1/projects/{project_id}/rights/{company_id}", "projects", "remove_right", Right.COMPANY,
        "End a company's right in a project.",
        request=api.RemoveRightRequest, status=204, power=api.MANAGE,
    ),
)  # fmt: skip
