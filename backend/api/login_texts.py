"""What the form for logging in says, in English and Chinese."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("Log in", "登录"),
    "tagline": (
        "For the pages of this parent. Scripts use POST /api/v1/auth/login.",
        "用于访问本父节点的页面；脚本请使用 POST /api/v1/auth/login。",
    ),
    "username": ("User name", "用户名"),
    "password": ("Password", "密码"),
    "submit": ("Log in", "登录"),
    "logged_in": ("You are logged in as", "当前登录用户："),
    "log_out": ("Log out", "退出登录"),
    "cookies": (
        "A cookie keeps the login, for this site only, until it expires or you log out.",
        "登录状态保存在仅限本站的 Cookie 中，直到过期或退出登录。",
    ),
    "home": ("Start page", "首页"),
    "queues": ("Queues and workers", "队列与工作进程"),
    "docs": ("HTTP API", "HTTP 接口"),
    "other_language": ("中文", "English"),
}


def texts(language: str) -> dict[str, str]:
    """Every text in one language."""
    place = 1 if language == "zh" else 0
    return {name: both[place] for name, both in TEXTS.items()}
