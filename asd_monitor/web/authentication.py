"""Who sends a request, and whether they may."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from asd_monitor.web.access_store import Identity, Role
from asd_monitor.web.context import LOCAL_USER, WebContext, context_of

COOKIE = "asd_session"
API_PREFIX = "/api/"


def identify(request: Request) -> Identity | None:
    """Return who sends a request, by token, session or because no password is needed."""
    context = context_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return context.access.find_token(token.strip())
    if context.is_open:
        return LOCAL_USER
    secret = request.cookies.get(cookie_name(context))
    return context.access.find_session(secret) if secret else None


def refuse(request: Request, role: Role) -> Response | None:
    """Return a response if the sender of a request has not at least this role.

    Otherwise the identity is stored with the request.
    """
    identity = identify(request)
    request.state.identity = identity
    is_api = request.url.path.startswith(API_PREFIX)
    if identity is None:
        if is_api or request.method != "GET":
            return JSONResponse({"error": "expected a session or a bearer token"}, 401)
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
    if identity.role < role:
        reason = f"expected the role {role.label}, found {identity.role.label}"
        if is_api:
            return JSONResponse({"error": reason}, 403)
        page = {"title": "Not allowed", "reason": reason}
        return context_of(request).pages.render(request, "error.html", page, status=403)
    return None


def cookie_name(context: WebContext) -> str:
    """Return the cookie's name; with TLS, one that browsers accept from this host only."""
    is_secure = context.settings.certificate_file is not None
    return f"__Host-{COOKIE}" if is_secure else COOKIE


def set_cookie(response: Response, context: WebContext, secret: str, max_age_s: float) -> None:
    """Store the secret of a session in the browser, out of the reach of scripts."""
    response.set_cookie(
        cookie_name(context),
        secret,
        max_age=int(max_age_s),
        httponly=True,
        samesite="strict",
        secure=context.settings.certificate_file is not None,
    )


def delete_cookie(response: Response, context: WebContext) -> None:
    """Remove the session from the browser."""
    set_cookie(response, context, "", 0)
