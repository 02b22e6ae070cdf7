"""What people ask of publish tasks and accounts, and what they can do about an account's health."""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, str]] = {
    "remedy_expiring": (
        "Its login ends soon: enter new credentials before that.",
        "登录即将到期：请提前更新凭据。",
    ),
    "remedy_expiring_at": (
        "Its login ends at {moment}: enter new credentials before that.",
        "登录将于 {moment} 到期：请提前更新凭据。",
    ),
    "remedy_cooling": (
        "Nothing: it goes on by itself when the platform lets it.",
        "无需操作：平台允许后会自动继续。",
    ),
    "remedy_cooling_until": (
        "Nothing: it goes on by itself at {moment}.",
        "无需操作：{moment} 自动继续。",
    ),
    "remedy_log_in": (
        "A person has to log in: ./cascade account login NAME shows a code to scan (POST …/login, then GET …/login-code), or enter new credentials.",
        "需要人工登录：运行 ./cascade account login NAME 扫码登录（或 POST …/login 后 GET …/login-code），也可以更新凭据。",
    ),
    "remedy_log_in_browser": (
        "A person has to log in with a browser and enter the new credentials: ./cascade account credentials NAME (PUT …/credentials).",
        "需要人工在浏览器登录，然后更新凭据：./cascade account credentials NAME（PUT …/credentials）。",
    ),
    "remedy_expired_login": (
        "Enter new credentials: ./cascade account credentials NAME (PUT …/credentials); or log in again: ./cascade account login NAME (POST …/login).",
        "请更新凭据：./cascade account credentials NAME（PUT …/credentials）；或重新登录：./cascade account login NAME（POST …/login）。",
    ),
    "remedy_expired": (
        "Enter new credentials: ./cascade account credentials NAME (PUT …/credentials).",
        "请更新凭据：./cascade account credentials NAME（PUT …/credentials）。",
    ),
    "unknown_platform": (
        "is no platform that is installed here: {known}",
        "不是已安装的平台：{known}",
    ),
    "platform_of_account": (
        "is not the account's platform, which is {platform}; leave it out",
        "与账号的平台 {platform} 不一致；可以省略此字段",
    ),
    "unknown_account": (
        "is none of your accounts",
        "不是你的账号",
    ),
    "no_credentials_given": (
        "Say what the account logs in with: --cookies FILE, --username NAME, --fields FILE or --ask NAME (for example --ask url --ask secret).",
        "请指定登录凭据：--cookies 文件、--username 用户名、--fields 文件，或 --ask 字段名（例如 --ask url --ask secret）。",
    ),
    "fields_unreadable": (
        "{path} is no JSON or YAML object of names and values.",
        "{path} 不是由名称和值组成的 JSON 或 YAML 对象。",
    ),
    "no_login_for_platform": (
        "{platform} has no login that can be walked through here; enter credentials instead: ./cascade account credentials NAME (PUT …/credentials).",
        "{platform} 没有可在此完成的登录方式；请直接更新凭据：./cascade account credentials NAME（PUT …/credentials）。",
    ),
    "no_login_code": (
        "There is no code to log in with right now; ask for one with POST …/login, and again when its time is over.",
        "当前没有可用的登录二维码；请用 POST …/login 获取，过期后可重新获取。",
    ),
    "visit_takes_long": (
        "It has not ended in ten minutes; ./cascade account list shows what came of it.",
        "十分钟内未结束；可用 ./cascade account list 查看结果。",
    ),
    "confirm_what": (
        "Say what stands on the platform: --url ADDRESS (http:// or https://) when the article is there, or --not-there to publish it again.",
        "请说明平台上的情况：文章已发布用 --url 地址（http:// 或 https://），未发布则用 --not-there 重新发布。",
    ),
    "nothing_to_clear": (
        "Name what to clear: `ids`, or `states`.",
        "请指定要清除的内容：ids 或 states。",
    ),
}
