"""People, their logins and their access keys."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "last_admin": (
        "{name} is the last active admin; make somebody else an admin first.",
        "{name} 是最后一个启用的管理员；请先指定另一位管理员。",
    ),
    "login_locked": (
        "Too many wrong passwords for this name from this address; try again in {seconds} s.",
        "该名称在此地址输错密码的次数过多；请在 {seconds} 秒后重试。",
    ),
    "login_busy": (
        "Other logins under this name from this address are being checked; try again in {seconds} s.",
        "该名称在此地址的其他登录正在验证中；请在 {seconds} 秒后重试。",
    ),
    "csrf_refused": (
        "This change did not come from a page of this login; load the page again and repeat it.",
        "该更改不是来自当前登录的页面；请刷新页面后重试。",
    ),
    "form_expired": (
        "The form is too old, or the browser keeps no cookies; send it again.",
        "表单已过期，或浏览器未保存 Cookie；请重新提交。",
    ),
    "too_many_keys": (
        "{name} has {limit} access keys already; revoke one first.",
        "{name} 已有 {limit} 个访问密钥；请先吊销一个。",
    ),
    "role_above_own": (
        "A key may not do more than its user, whose role is {role}.",
        "密钥的权限不能高于其用户（角色为 {role}）。",
    ),
    "bad_old_password": (
        "The present password is wrong.",
        "当前密码错误。",
    ),
    "old_password_needed": (
        "To change your own password, send the present one as old_password.",
        "修改自己的密码时，请在 old_password 中提供当前密码。",
    ),
    "own_password_only": (
        "Your role {role} may change your own password and nothing else here; ask an admin.",
        "您的角色 {role} 在此只能修改自己的密码；其他修改请联系管理员。",
    ),
    "login_needed": (
        "An access key may not do this; log in with a password.",
        "访问密钥无权执行此操作；请用密码登录。",
    ),
    "expiry_past": (
        "The time must be in the future.",
        "该时间必须在将来。",
    ),
}
